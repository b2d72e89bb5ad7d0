// SPDX-License-Identifier: MIT
// The program's text: CodeMirror over the page's textarea, or the textarea itself where CodeMirror is not there.
// CodeMirror 5, for it is plain scripts without other packages: nothing to bundle, no import map, no style element, so that the page's
// policy allows scripts and styles of this origin only.

const MODES = { python: "python", lua: "lua", perl: "perl", javascript: "javascript", bash: "shell", c: "text/x-csrc" };

/** An editor: `value` is its text; `language(name)` colours it; `onRun` is called for Ctrl+Enter. */
export function editorOver(textarea, { onRun, onChange, label }) {
  textarea.addEventListener("input", onChange);
  if (!window.CodeMirror) {
    return { get value() { return textarea.value; }, set value(text) { textarea.value = text; }, language() {}, focus: () => textarea.focus() };
  }
  const cm = window.CodeMirror.fromTextArea(textarea, {
    lineNumbers: true, matchBrackets: true, indentUnit: 4, screenReaderLabel: label,
    extraKeys: {
      "Ctrl-Enter": onRun, "Cmd-Enter": onRun,
      // Tab is the editor's; after Escape it is the page's again.
      Esc: () => cm.setOption("extraKeys", { ...cm.getOption("extraKeys"), Tab: false, "Shift-Tab": false }),
      Tab: (e) => (e.somethingSelected() ? e.indentSelection("add") : e.execCommand("insertSoftTab")),
      "Shift-Tab": "indentLess",
    },
  });
  const keys = cm.getOption("extraKeys");
  cm.on("blur", () => cm.setOption("extraKeys", keys));
  cm.on("change", onChange);
  cm.getInputField().setAttribute("aria-describedby", textarea.getAttribute("aria-describedby"));
  return {
    get value() { return cm.getValue(); },
    set value(text) { cm.setValue(text); cm.clearHistory(); },
    language(name) { cm.setOption("mode", MODES[name] || null); },
    focus: () => cm.focus(),
  };
}
