// SPDX-License-Identifier: MIT
// What the editor begins with. Each reads its input, so that one sees where that goes.

export const INPUT = "Ada\n";

export const SAMPLES = {
  python: 'import time\n\nname = input()\nfor i in range(1, 4):\n    print(f"{i}: hello, {name}", flush=True)\n    time.sleep(0.3)\n',
  lua: 'local name = io.read()\nfor i = 1, 3 do\n  print(i .. ": hello, " .. name)\nend\n',
  perl: 'use strict;\nuse warnings;\n\nchomp(my $name = <STDIN>);\nprint "$_: hello, $name\\n" for 1 .. 3;\n',
  javascript: 'const name = require("fs").readFileSync(0, "utf8").trim();\nfor (let i = 1; i <= 3; i++) console.log(`${i}: hello, ${name}`);\n',
  bash: 'read -r name\nfor i in 1 2 3; do\n  echo "$i: hello, $name"\n  sleep 0.3\ndone\n',
  c: '#include <stdio.h>\n\nint main(void) {\n    char name[64];\n    if (scanf("%63s", name) != 1) return 1;\n    for (int i = 1; i <= 3; i++) printf("%d: hello, %s\\n", i, name);\n    return 0;\n}\n',
  awk: '{ for (i = 1; i <= 3; i++) print i ": hello, " $0 }\n',
};
