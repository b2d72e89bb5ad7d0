// SPDX-License-Identifier: MIT
// What programs write, as text and nothing else, and never more of it than a page can bear.

const MAX_CHARS = 256 * 1024;
const MAX_PIECES = 2000; // elements: a program that changes streams with each byte gets no more
const QUIET = 4096; // characters; who has a page read out does not want more of it by itself

export class Output {
  #element;
  #onChange;
  #waiting = [];
  #frame = 0;
  #pieces = 0;
  chars = 0;
  dropped = 0;

  constructor(element, onChange) {
    this.#element = element;
    this.#onChange = onChange;
  }

  clear() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#waiting = [];
    this.#pieces = this.chars = this.dropped = 0;
    this.#element.replaceChildren();
    this.#element.setAttribute("aria-live", "polite");
    this.#onChange(this);
  }

  /** Takes a piece of a stream. Drawn once a frame, however many come. */
  write(stream, text) {
    const room = MAX_CHARS - this.chars;
    if (text.length > room) {
      this.dropped += text.length - room;
      text = text.slice(0, room);
    }
    this.chars += text.length;
    const last = this.#waiting.at(-1);
    if (last?.stream === stream) last.texts.push(text);
    else if (text) this.#waiting.push({ stream, texts: [text] });
    this.#frame ||= requestAnimationFrame(() => this.flush());
  }

  /** Draws what has come. */
  flush() {
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    const element = this.#element;
    const atEnd = element.scrollHeight - element.scrollTop - element.clientHeight < 40;
    for (const { stream, texts } of this.#waiting) {
      let piece = element.lastChild;
      if (!piece || (piece.className !== stream && this.#pieces < MAX_PIECES)) {
        piece = document.createElement("span");
        piece.className = stream;
        piece.append("");
        element.append(piece);
        this.#pieces++;
      }
      piece.firstChild.appendData(texts.join(""));
    }
    this.#waiting = [];
    if (this.chars > QUIET) element.setAttribute("aria-live", "off");
    if (atEnd) element.scrollTop = element.scrollHeight;
    this.#onChange(this);
  }
}
