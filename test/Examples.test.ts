import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, Redacted, type Scope } from "effect"
import { spawn } from "node:child_process"
import * as fs from "node:fs/promises"
import * as os from "node:os"
import * as path from "node:path"
import { inject } from "vitest"
import { describeUnless, freshSchema, unavailable } from "./postgres/shared.js"

const root = path.dirname(import.meta.dirname)

interface Outcome {
  readonly status: number | null
  readonly stderr: string
  readonly stdout: string
}

/** Runs an example, as `npx tsx examples/<name>` does. */
const run = (name: string, args: ReadonlyArray<string> = [], env: Readonly<Record<string, string>> = {}) =>
  Effect.async<Outcome>((resume) => {
    const child = spawn(process.execPath, [
      path.join(inject("compiled"), "examples", name.replace(/\.ts$/, ".js")),
      ...args
    ], {
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
  "batch-loader.ts": "query for banana, cherry",
  "counter.ts": "4 processes, 250 additions each: 1000",
  "delayed-schedule.ts": "08:00 nothing is left",
  "encrypted.ts": "the file shows: p-1 true, Lovelace false, penicillin false",
  "engines.ts": "ada came 2 times, and 2 sessions are open",
  "hexastore.ts": "between dan and ada: likes",
  "http-cache.ts": "the server is gone: stale, {\"pear\":3}, 2 requests",
  "interop.ts": "run 2, Bern: Rate limit exceeded",
  "export.ts": "Ada Lovelace has a session: Remaining",
  "job-queue.ts": "101 of 101 jobs are done, 0 are begun",
  "leaderboard.ts": "around ada: lea 120, kim 110, ada 106, jo 100, ida 90",
  "negative-caching.ts": "eve: UserNotFound, 6 queries",
  "observability.ts": "prices: hits 1, misses 1, writes 2, expirations 1",
  "prefix.ts": "removed 7 of rome; left: 3 and 13 in all",
  "sessions.ts": "signed out everywhere: 2 sessions",
  "slow-api.ts": "and is left alone for a minute: 12 degrees, 3 requests",
  "testclock.ts": "expired codes are swept: passed",
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
          "cli-cache.ts",
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

describeUnless(unavailable, "examples/engines.ts", () => {
  it.scopedLive("does the same on PostgreSQL", () =>
    Effect.gen(function*() {
      const { url } = yield* freshSchema
      const { status, stderr, stdout } = yield* run("engines.ts", [], { DATABASE_URL: Redacted.value(url) })
      assert.strictEqual(status, 0, stderr)
      assert.strictEqual(stdout, `${lines["engines.ts"]}\n`)
      assert.strictEqual(stderr, "")
    }), 60_000)
})

describe("examples/observability.ts", () => {
  it.live("prints what is nested, and what failed", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("observability.ts")
      const spans = stdout.replaceAll(/ \(\d+\.\d ms\)$/gm, "")
      assert.include(
        spans,
        [
          "order: ok",
          "  transaction: ok",
          "    transaction: failed, SoldOut",
          "      modify stock: ok",
          "    set orders: ok"
        ].join("\n")
      )
    }), 60_000)
})

describe("examples/delayed-schedule.ts", () => {
  it.live("does what is due when it is due", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("delayed-schedule.ts")
      assert.strictEqual(
        stdout,
        [
          "00:00 three reminders",
          "00:40 take the bread out",
          "01:00 one more, which is the next",
          "01:10 drink some tea",
          "01:30 call the dentist",
          "08:00 water the flowers",
          "08:00 nothing is left\n"
        ].join("\n")
      )
    }), 60_000)
})

describe("examples/hexastore.ts", () => {
  it.live("finds triples by any part", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("hexastore.ts")
      assert.strictEqual(
        stdout,
        [
          "ada knows: bob, cleo",
          "dan is known by: bob, cleo",
          "between dan and ada: likes",
          "all of ada: knows bob, knows cleo, likes C++ :: templates",
          "two steps from ada: dan",
          "bob knows dan: false\n"
        ].join("\n")
      )
    }), 60_000)
})

describe("examples/job-queue.ts", () => {
  it.live("does the urgent job first, and that of a killed worker again", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("job-queue.ts")
      assert.strictEqual(
        stdout,
        [
          "first comes urgent, job 0, job 1",
          "101 of 101 jobs are done, 0 are begun",
          "3 workers, 1 of which was killed and started again\n"
        ].join("\n")
      )
    }), 60_000)
})

describe("examples/leaderboard.ts", () => {
  it.live("ranks, loses no points, and takes back what fails", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("leaderboard.ts")
      assert.strictEqual(
        stdout,
        [
          "the best ten: lea 120, kim 110, jo 100, ida 90, hana 80, gus 70, finn 60, eve 50, dan 40, cleo 30",
          "the best three: lea 120, kim 110, ada 106",
          "around ada: lea 120, kim 110, ada 106, jo 100, ida 90",
          "refused: ProcedureFailed, OutOfRange",
          "as before: kim 110, ada 106, jo 100\n"
        ].join("\n")
      )
    }), 60_000)
})

describe("examples/slow-api.ts", () => {
  it.live("asks once for all, serves what is stale, and leaves alone what is down", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("slow-api.ts")
      assert.strictEqual(
        stdout,
        [
          "after 1000 callers at once: 11 degrees, 1 requests",
          "stale, answered at once: 11 degrees, 1 requests",
          "refreshed behind it: 12 degrees, 2 requests",
          "the API is down: 12 degrees, 3 requests",
          "and is left alone for a minute: 12 degrees, 3 requests\n"
        ].join("\n")
      )
    }), 60_000)
})

describe("examples/sessions.ts", () => {
  it.live("ends sessions that are idle or too old", () =>
    Effect.gen(function*() {
      const { stdout } = yield* run("sessions.ts")
      for (
        const line of [
          "busy for 11 hours: laptop",
          "busy for 12 hours: signed out",
          "remembered, after 13 more: phone",
          "the other user, idle for 26 days: signed out",
          "afterwards: signed out"
        ]
      ) assert.include(stdout.split("\n"), line)
    }), 60_000)
})

describe("examples/cli-cache.ts", () => {
  const asked = "asking the inventory\n"

  it.scopedLive("asks once, and again without the cache or when it was cleared", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const hosts = (...args: ReadonlyArray<string>) => run("cli-cache.ts", args, { XDG_CACHE_HOME: folder })

      deepStrictEqual(yield* hosts("web"), { status: 0, stderr: asked, stdout: "web-1\nweb-2\nweb-3\n" })
      deepStrictEqual(yield* hosts("db"), { status: 0, stderr: "", stdout: "db-1\ndb-2\n" })
      deepStrictEqual(yield* hosts("--no-cache", "db"), { status: 0, stderr: asked, stdout: "db-1\ndb-2\n" })
      deepStrictEqual(yield* hosts("--clear"), { status: 0, stderr: "", stdout: "cleared: 1\n" })
      deepStrictEqual(yield* hosts("db"), { status: 0, stderr: asked, stdout: "db-1\ndb-2\n" })
    }), 120_000)

  it.scopedLive("works when several start at once", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const hosts = run("cli-cache.ts", ["db"], { XDG_CACHE_HOME: path.join(folder, "new") })

      const outcomes = yield* Effect.all([hosts, hosts, hosts, hosts], { concurrency: "unbounded" })
      for (const { status, stdout } of outcomes) {
        deepStrictEqual({ status, stdout }, { status: 0, stdout: "db-1\ndb-2\n" })
      }
      assert.include(outcomes.map(({ stderr }) => stderr), asked)
      assert.strictEqual((yield* hosts).stderr, "")
    }), 120_000)

  it.scopedLive("works without its cache, and says what is wrong", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const file = path.join(folder, "file")
      yield* Effect.promise(() => fs.writeFile(file, ""))

      const { status, stderr, stdout } = yield* run("cli-cache.ts", ["db"], { XDG_CACHE_HOME: file })
      deepStrictEqual({ status, stdout }, { status: 0, stdout: "db-1\ndb-2\n" })
      assert.include(stderr, "cannot be created")
      const unknown = yield* run("cli-cache.ts", ["--unknown"])
      assert.strictEqual(unknown.status, 1)
      assert.include(unknown.stderr, "Unknown option '--unknown'")
    }), 120_000)
})

describe("examples/quickstart.ts", () => {
  const counts = /^from the store: (\d+), computed: (\d+)$/gm

  /** Runs it on a tree, and reads what it counted. */
  const summaryOf = (tree: string, env: Readonly<Record<string, string>>) =>
    Effect.gen(function*() {
      const { status, stderr, stdout } = yield* run("quickstart.ts", [tree], env)
      assert.strictEqual(status, 0, stderr)
      const found = Array.from(stdout.matchAll(counts))
      assert.lengthOf(found, 1, stdout)
      const numberAfter = (label: string) => Number(stdout.match(new RegExp(`${label}: (\\d+)$`, "m"))?.[1])
      return {
        computed: Number(found[0]?.[2]),
        fromStore: Number(found[0]?.[1]),
        removed: numberAfter("removed from the store"),
        swept: numberAfter("^swept")
      }
    })

  it.scopedLive("keeps facts of a tree, and notices what changed and what went", () =>
    Effect.gen(function*() {
      const folder = yield* temporaryFolder
      const tree = path.join(folder, "tree")
      const file = (name: string) => path.join(tree, name)
      const env = { QUICKSTART_DB: path.join(folder, "a folder of its own", "files.db") }
      const summary = summaryOf(tree, env)

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
      deepStrictEqual(yield* summary, { computed: 4, fromStore: 0, removed: 0, swept: 0 })
      deepStrictEqual(yield* summary, { computed: 0, fromStore: 4, removed: 0, swept: 0 })

      yield* Effect.promise(() => fs.appendFile(file("README.md"), "four\n"))
      deepStrictEqual(yield* summary, { computed: 1, fromStore: 3, removed: 0, swept: 0 })

      yield* Effect.promise(() => fs.rm(file("src/nested/Codec.ts")))
      deepStrictEqual(yield* summary, { computed: 0, fromStore: 3, removed: 1, swept: 0 })
      deepStrictEqual(yield* summary, { computed: 0, fromStore: 3, removed: 0, swept: 0 })
    }), 120_000)

  const writeTree = (tree: string, names: ReadonlyArray<string>) =>
    Effect.promise(async () => {
      await fs.mkdir(tree)
      for (const name of names) await fs.writeFile(path.join(tree, name), name)
    })

  it.scopedLive("computes again what has expired, and sweeps what nothing replaces", () => {
    const attempt = (seconds: number): Effect.Effect<void, never, Scope.Scope> =>
      Effect.gen(function*() {
        const folder = yield* temporaryFolder
        const tree = path.join(folder, "tree")
        const env = { QUICKSTART_DB: path.join(folder, "files.db") }
        yield* writeTree(tree, ["a", "b", "c", "d", "e"])
        const first = yield* summaryOf(tree, { ...env, QUICKSTART_TTL: `${seconds} seconds` })
        deepStrictEqual({ ...first, swept: 0 }, { computed: 5, fromStore: 0, removed: 0, swept: 0 })
        // A machine so slow that some expired before the end of the run is given more time.
        if (first.swept > 0) return yield* attempt(seconds * 4)

        yield* Effect.promise(() => Promise.all(["d", "e"].map((name) => fs.rm(path.join(tree, name)))))
        yield* Effect.sleep(`${seconds} seconds`)
        deepStrictEqual(yield* summaryOf(tree, env), { computed: 3, fromStore: 0, removed: 0, swept: 2 })
        deepStrictEqual(yield* summaryOf(tree, env), { computed: 0, fromStore: 3, removed: 0, swept: 0 })
      })
    return attempt(1)
  }, 180_000)

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
