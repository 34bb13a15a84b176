import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"

const root = path.dirname(import.meta.dirname)

interface Outcome {
  readonly status: number | null
  readonly stderr: string
  readonly stdout: string
}

/** Runs an example as `npx tsx examples/<name>` does. */
const run = (name: string, args: ReadonlyArray<string> = [], env: Readonly<Record<string, string>> = {}) =>
  Effect.async<Outcome>((resume) => {
    const child = spawn(process.execPath, ["--import", "tsx", path.join("examples", name), ...args], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let stderr = ""
    let stdout = ""
    child.stderr.on("data", (chunk) => stderr += String(chunk))
    child.stdout.on("data", (chunk) => stdout += String(chunk))
    child.on("error", (error) => resume(Effect.die(error)))
    child.on("close", (status) => resume(Effect.succeed({ status, stderr, stdout })))
    return Effect.sync(() => child.kill())
  })

const temporaryFolder = Effect.acquireRelease(
  Effect.promise(() => fs.mkdtemp(path.join(os.tmpdir(), "effect-kv-examples-"))),
  (folder) => Effect.promise(() => fs.rm(folder, { recursive: true }))
)

/** A line of the output that shows that the example did what it is for. */
const lines: Readonly<Record<string, string>> = {
  "counter.ts": "4 processes, 250 additions each: 1000",
  "encrypted.ts": "the file shows: p-1 true, Lovelace false, penicillin false",
  "prefix.ts": "removed 7 of rome; left: 3 and 13 in all",
  "testing.ts": "an invitation works once: passed",
  "transaction.ts": "after the failed order: 3 pears left, 1 orders, 1 journal entries"
}

describe("examples", () => {
  it.live("each has a test", () =>
    Effect.gen(function*() {
      const names = yield* Effect.promise(() => fs.readdir(path.join(root, "examples")))
      deepStrictEqual(
        names.filter((name) => name.endsWith(".ts")).sort(),
        [
          ...Object.keys(lines),
          "quickstart.ts"
        ].sort()
      )
    }))

  for (const [name, line] of Object.entries(lines)) {
    it.live(`${name} runs`, () =>
      Effect.gen(function*() {
        const { status, stderr, stdout } = yield* run(name)
        assert.strictEqual(status, 0, stderr)
        assert.include(stdout.split("\n"), line)
        assert.strictEqual(stderr, "")
      }), 60_000)
  }
})

describe("examples/quickstart.ts", () => {
  const counts = /^from the store: (\d+), computed: (\d+)$/gm

  it.scopedLive("keeps facts of a tree, and notices what changed and what went", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const tree = path.join(folder, "tree")
      const file = (name: string) => path.join(tree, name)
      const env = { QUICKSTART_DB: path.join(folder, "a folder of its own", "files.db") }
      const summary = Effect.gen(function*() {
        const { status, stderr, stdout } = yield* run("quickstart.ts", [tree], env)
        assert.strictEqual(status, 0, stderr)
        const found = Array.from(stdout.matchAll(counts))
        assert.lengthOf(found, 1, stdout)
        return { fromStore: Number(found[0]?.[1]), computed: Number(found[0]?.[2]), stdout }
      })

      yield* Effect.promise(async () => {
        for (const name of ["src/nested", "node_modules/x", "dist", ".git"]) {
          await fs.mkdir(file(name), { recursive: true })
        }
        await fs.copyFile(path.join(root, "src", "index.ts"), file("src/index.ts"))
        await fs.copyFile(path.join(root, "src", "Codec.ts"), file("src/nested/Codec.ts"))
        await fs.writeFile(file("README.md"), "one two\nthree\n")
        await fs.writeFile(file("empty"), "")
        for (const name of ["node_modules/x/index.js", "dist/index.js", ".git/config"]) {
          await fs.writeFile(file(name), "not for us")
        }
      })
      assert.include(yield* summary, { computed: 4, fromStore: 0 })
      assert.include(yield* summary, { computed: 0, fromStore: 4 })

      yield* Effect.promise(() => fs.appendFile(file("README.md"), "four\n"))
      assert.include(yield* summary, { computed: 1, fromStore: 3 })

      yield* Effect.promise(() => fs.rm(file("src/nested/Codec.ts")))
      const afterRemoval = yield* summary
      assert.include(afterRemoval, { computed: 0, fromStore: 3 })
      assert.include(afterRemoval.stdout, "removed from the store: 1")
      assert.include((yield* summary).stdout, "removed from the store: 0")
    }), 120_000)

  it.scopedLive("says what is wrong, and fails", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const { status, stderr } = yield* run("quickstart.ts", [path.join(folder, "none")], {
        QUICKSTART_DB: path.join(folder, "files.db")
      })
      assert.strictEqual(status, 1)
      assert.include(stderr, "none cannot be read: ENOENT")
    }), 60_000)
})
