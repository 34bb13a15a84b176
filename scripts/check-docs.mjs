/* global console, process */
/** Type-checks the `ts` blocks of README.md and docs/, each as a module of its own. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import * as path from "node:path";

const root = path.dirname(import.meta.dirname);
const folder = path.join(root, ".docs-check");

const pages = [
  ...readdirSync(root).filter((name) => name.endsWith(".md") && name !== "CHANGELOG.md"),
  ...readdirSync(path.join(root, "docs")).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`),
];

/** File name of a block to where it comes from. `line` is that of the opening fence. */
const blocks = new Map();
const errors = [];

for (const page of pages) {
  let open;
  readFileSync(path.join(root, page), "utf8").split(/\r?\n/).forEach((text, at) => {
    const fence = /^\s*(`{3,}|~{3,})\s*(\S*)/.exec(text);
    if (open === undefined) {
      if (fence !== null) open = { code: [], fence: fence[1], language: fence[2], line: at + 1, page };
    } else if (fence !== null && fence[2] === "" && fence[1].startsWith(open.fence)) {
      if (open.language === "ts") {
        blocks.set(`${page.replace(/[^a-zA-Z0-9]+/g, "-")}-${open.line}.ts`, open);
      }
      open = undefined;
    } else {
      open.code.push(text);
    }
  });
  if (open !== undefined) errors.push(`${page}:${open.line}: the block is never closed`);
}

rmSync(folder, { force: true, recursive: true });
mkdirSync(folder);
try {
  for (const [name, { code }] of blocks) writeFileSync(path.join(folder, name), `${code.join("\n")}\n`);
  writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        noEmit: true,
        noUnusedLocals: false,
        noUnusedParameters: false,
        paths: { "effect-kv": ["../src/index.ts"], "effect-kv/*": ["../src/*.ts"] },
      },
      extends: "../tsconfig.json",
      include: ["*.ts"],
    }),
  );
  const tsc = path.join(root, "node_modules", "typescript", "bin", "tsc");
  const { error, status, stderr, stdout } = spawnSync(
    process.execPath,
    [tsc, "-p", folder, "--pretty", "false"],
    { cwd: root, encoding: "utf8" },
  );
  if (error !== undefined) throw error;
  for (const text of stdout.split("\n").filter((text) => text !== "")) {
    const found = /^\.docs-check\/([^(]+)\((\d+),(\d+)\): (.*)$/.exec(text);
    const block = blocks.get(found?.[1]);
    errors.push(
      block === undefined ? text : `${block.page}:${block.line + Number(found[2])}:${found[3]}: ${found[4]}`,
    );
  }
  if (stderr !== "") errors.push(stderr);
  if (status !== 0 && errors.length === 0) errors.push(`tsc ended with status ${status}`);
} finally {
  rmSync(folder, { force: true, recursive: true });
}

for (const error of errors) console.error(error);
console.log(`${blocks.size} blocks in ${pages.length} pages, ${errors.length === 0 ? "all compile" : "with errors"}`);
process.exitCode = errors.length === 0 ? 0 : 1;
