/**
 * `HttpCache` against http-cache-tests, a suite for caches after RFC 9111: as a private and as a shared cache, in memory
 * and on SQLite.
 *
 *     npm install --prefix bench   # once, for the suite
 *     npm run conformance
 *
 * Ends with a failure if a required test does not pass, other than those below that no cache should pass. The suite keeps
 * its state in its modules, so each run has a process of its own: this module with the mode, the engine and the URL of
 * the suite's server.
 */
import { HttpClient, HttpClientRequest } from "@effect/platform"
import { NodeHttpClient } from "@effect/platform-node"
import { Effect, Layer, ManagedRuntime } from "effect"
import { HttpCache, Sqlite, Storage } from "effect-kv"
import { fork } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, rmSync } from "node:fs"
import * as os from "node:os"
import * as path from "node:path"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { say, table } from "./harness.js"
import { missingOf, versionOf } from "./peers.js"

// Imports as from bench/, where the suite is installed.
const { load }: { readonly load: (name: string) => Promise<unknown> } = await import(
  new URL("../../bench/load.mjs", import.meta.url).href
)

const suiteName = "http-cache-tests"

const modes = ["private", "shared"] as const
type Mode = typeof modes[number]

const engines = ["memory", "SQLite"] as const
type Engine = typeof engines[number]

const kinds = ["required", "optimal", "check"] as const
type Kind = typeof kinds[number]

/** A test that expects what a cache should not do, or cannot. */
interface Exception {
  /** Both, if it does not say. */
  readonly mode?: Mode
  readonly ids: ReadonlyArray<string>
  /** How it fails. If it fails otherwise, that is no exception. */
  readonly outcome: string
  readonly reason: string
}

const fromCache = "Response 2 comes from cache"
const notFromCache = "Response 2 does not come from cache"
const noResponse = "RequestError: Transport error"

const exceptions: ReadonlyArray<Exception> = [
  {
    ids: [
      "age-parse-float",
      "age-parse-negative",
      "age-parse-nonnumeric",
      "age-parse-numeric-parameter",
      "age-parse-parameter"
    ],
    outcome: fromCache,
    reason: "expects that an invalid Age makes a response stale. RFC 9111 section 5.1: it is to be ignored."
  },
  {
    ids: ["age-parse-dup-0", "age-parse-dup-0-twoline", "age-parse-dup-old", "age-parse-prefix-twoline"],
    outcome: fromCache,
    reason: "expects that several values of Age make a response stale, or that the last one counts. RFC 9111 section " +
      "5.1: the first one counts."
  },
  {
    ids: ["stale-close-must-revalidate", "stale-close-no-cache"],
    outcome: noResponse,
    reason:
      "expects a response that only the server could give, which has closed the connection instead. The request " +
      "fails, and nothing stale is used."
  },
  {
    ids: ["stale-close-proxy-revalidate", "stale-close-s-maxage=2"],
    mode: "shared",
    outcome: noResponse,
    reason:
      "expects a response that only the server could give, which has closed the connection instead. The request " +
      "fails, and nothing stale is used."
  },
  {
    ids: ["stale-close-proxy-revalidate", "stale-close-s-maxage=2"],
    mode: "private",
    outcome: fromCache,
    reason: "expects that a private cache heeds what is said to shared ones. RFC 9111 sections 5.2.2.8 and 5.2.2.10: " +
      "it does not apply to it, and so 4.2.4 lets it use what is stale while it is disconnected."
  },
  {
    ids: ["conditional-lm-fresh-no-lm"],
    outcome: "Response 2 status is 200, not 304",
    reason:
      "expects a 304 for a response whose Date is later than If-Modified-Since. RFC 9111 section 4.3.2: without " +
      "Last-Modified, a 304 needs a Date that is not later."
  },
  {
    ids: ["partial-store-partial-reuse-partial-absent", "partial-store-partial-reuse-partial-suffix"],
    outcome: notFromCache,
    reason:
      "expects that a part is used of which Content-Range says six bytes, and which has five. It is incomplete, " +
      "and it is not known which byte is missing."
  }
]

interface Test {
  readonly id: string
  readonly kind?: Kind
  readonly depends_on?: ReadonlyArray<string>
  readonly browser_only?: boolean
  readonly browser_skip?: boolean
}

interface Suites {
  readonly default: ReadonlyArray<{ readonly tests: ReadonlyArray<Test> }>
}

/** Whether it passed; or the name and the message of the error. */
type Outcome = true | readonly [name: string, message: string]
type Outcomes = Readonly<Record<string, Outcome>>

interface Init {
  readonly method?: "DELETE" | "GET" | "HEAD" | "PATCH" | "POST" | "PUT"
  readonly headers?: ReadonlyArray<readonly [name: string, value: string | number]>
  readonly body?: string
  readonly cache?: HttpCache.Mode
}

/** What the suite uses of the response of a `fetch`. */
interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: () => Promise<string>
}

interface Runner {
  readonly runTests: (
    suites: Suites["default"],
    fetch: (url: string, init?: Init) => Promise<Answer>,
    isBrowser: boolean,
    base: string,
    atOnce: number
  ) => Promise<void>
  readonly getResults: () => Outcomes
}

const atOnce = 40
/** For these the suite expects no body. */
const withoutBody = new Set([204, 304])

const requestOf = (url: string, { body, headers = [], method = "GET" }: Init) => {
  const fields: Record<string, string> = {}
  for (const [given, value] of headers) {
    const name = given.toLowerCase()
    fields[name] = name in fields ? `${fields[name]}, ${value}` : String(value)
  }
  const request = HttpClientRequest.make(method)(url, { headers: fields })
  return body === undefined ? request : HttpClientRequest.bodyText(request, body, fields["content-type"])
}

const answerTo = (mode: Mode, url: string, init: Init) =>
  Effect.gen(function*() {
    const response = yield* HttpClient.execute(requestOf(url, init))
    const isEmpty = init.method === "HEAD" || withoutBody.has(response.status)
    const text = isEmpty ? "" : yield* response.text
    const headers = new Headers()
    for (const [name, value] of Object.entries(response.headers)) {
      try {
        headers.append(name, value)
      } catch {
        // What `Headers` does not take a browser would not show either.
      }
    }
    const answer: Answer = { headers, status: response.status, text: () => Promise.resolve(text) }
    return answer
  }).pipe(
    // To a shared cache the suite says `no-store` always: it is for the browser in between.
    HttpCache.withOptions(mode === "private" && init.cache !== undefined ? { mode: init.cache } : {})
  )

const outcomesOf = async (mode: Mode, engine: Engine, base: string): Promise<Outcomes> => {
  const { getResults, runTests } = await load(`${suiteName}/client/runner.mjs`) as Runner
  const { default: suites } = await load(`${suiteName}/tests/index.mjs`) as Suites
  const folder = mkdtempSync(path.join(os.tmpdir(), "effect-kv-conformance-"))
  const storage = engine === "memory"
    ? Storage.layerMemory
    : Layer.provide(Storage.layer(), Sqlite.layer({ filename: path.join(folder, "http.db") }))
  const runtime = ManagedRuntime.make(
    Layer.provide(HttpCache.layer({ mode }), [NodeHttpClient.layerUndici, storage])
  )
  try {
    const fetch = (url: string, init: Init = {}) => runtime.runPromise(answerTo(mode, url, init))
    await runTests(suites, fetch, mode === "private", base, atOnce)
    return getResults()
  } finally {
    await runtime.dispose()
    rmSync(folder, { force: true, recursive: true })
  }
}

/** The suite's server, on a port that is free. */
const startServer = async (folder: string) => {
  const server = fork(
    fileURLToPath(new URL("../../bench/node_modules/http-cache-tests/server/server.mjs", import.meta.url)),
    {
      env: {
        ...process.env,
        npm_config_pidfile: path.join(folder, "server.pid"),
        npm_config_port: "0",
        npm_config_protocol: "http"
      },
      stdio: ["ignore", "pipe", "inherit", "ipc"]
    }
  )
  if (server.stdout === null) throw new Error("the server of the suite has no output")
  const lines = createInterface(server.stdout)
  const [line]: Array<unknown> = await once(lines, "line")
  const port = /:(\d+)\/$/.exec(String(line))?.[1]
  if (port === undefined) throw new Error(`the server of the suite says: ${String(line)}`)
  return { base: `http://localhost:${port}`, stop: () => server.kill() }
}

/** A run in a process of its own. */
const runOf = async (mode: Mode, engine: Engine, base: string): Promise<Outcomes> => {
  const child = fork(fileURLToPath(import.meta.url), [mode, engine, base])
  const [outcomes] = await Promise.race([
    // The child sends them.
    once(child, "message") as Promise<[Outcomes]>,
    once(child, "exit").then(([code]: Array<unknown>) => {
      throw new Error(`the run of ${mode}, ${engine} ended with ${String(code)}`)
    })
  ])
  return outcomes
}

const exceptionOf = (mode: Mode, id: string): Exception | undefined =>
  exceptions.find((exception) => exception.ids.includes(id) && (exception.mode ?? mode) === mode)

const isExcepted = (mode: Mode, id: string, outcome: Outcome | undefined): boolean => {
  const exception = exceptionOf(mode, id)
  return exception !== undefined && outcome !== undefined && outcome !== true &&
    outcome.join(": ").includes(exception.outcome)
}

type Verdict = "pass" | "fail" | "blocked" | "excepted"

/** Blocked is what could not be set up, or depends on what does not pass. */
const verdictsOf = (tests: ReadonlyArray<Test>, mode: Mode, outcomes: Outcomes): ReadonlyMap<Test, Verdict> => {
  const byId = new Map(tests.map((test) => [test.id, test]))
  const verdictOf = (test: Test): Verdict => {
    const isBlocked = (test.depends_on ?? []).some((id) => {
      const other = byId.get(id)
      return other !== undefined && outcomes[id] !== undefined && verdictOf(other) !== "pass"
    })
    const outcome = outcomes[test.id]
    if (isBlocked) return "blocked"
    if (outcome === true) return "pass"
    if (isExcepted(mode, test.id, outcome)) return "excepted"
    return outcome === undefined || outcome[0] === "Setup" ? "blocked" : "fail"
  }
  return new Map(tests.flatMap((test) => outcomes[test.id] === undefined ? [] : [[test, verdictOf(test)]]))
}

const verdicts = ["pass", "fail", "blocked", "excepted"] as const

const report = (tests: ReadonlyArray<Test>, mode: Mode, engine: Engine, outcomes: Outcomes): boolean => {
  const found = [...verdictsOf(tests, mode, outcomes)]
  const of = (kind: Kind, verdict: Verdict) =>
    found.filter(([test, is]) => (test.kind ?? "required") === kind && is === verdict).map(([test]) => test)
  say(`\n${mode}, ${engine}\n`)
  table([
    ["tests", ...verdicts],
    ...kinds.map((kind) => [kind, ...verdicts.map((verdict) => String(of(kind, verdict).length))])
  ])
  const notPassed = (["required", "optimal"] as const).flatMap((kind) =>
    (["fail", "blocked"] as const).flatMap((verdict) => of(kind, verdict).map((test) => ({ kind, test, verdict })))
  )
  if (notPassed.length > 0) say("")
  for (const { kind, test: { id }, verdict } of notPassed) {
    const outcome = outcomes[id]
    const why = outcome === undefined || outcome === true ? "what it depends on does not pass" : outcome.join(": ")
    say(`${kind}, ${verdict}: ${id} (${why})`)
  }
  for (const [{ id }, verdict] of found) {
    if (verdict === "pass" && exceptionOf(mode, id) !== undefined) say(`${id} passes, and need not be an exception`)
  }
  return !notPassed.some(({ kind }) => kind === "required")
}

const main = async (): Promise<boolean> => {
  const missing = missingOf([suiteName])
  if (missing !== undefined) {
    say(missing)
    return false
  }
  const { default: suites } = await load(`${suiteName}/tests/index.mjs`) as Suites
  const tests = suites.flatMap((suite) => suite.tests)
  const folder = mkdtempSync(path.join(os.tmpdir(), "effect-kv-conformance-"))
  const server = await startServer(folder)
  say(`${suiteName} ${versionOf(suiteName)}, Node ${process.version}`)
  try {
    let isGood = true
    for (const mode of modes) {
      const all = await Promise.all(engines.map((engine) => runOf(mode, engine, server.base)))
      all.forEach((outcomes, i) => {
        const engine = engines[i]
        if (engine !== undefined) isGood = report(tests, mode, engine, outcomes) && isGood
      })
    }
    say("\nexcepted: tests of this version of the suite that a cache after RFC 9111 does not pass\n")
    for (const { ids, mode, reason } of exceptions) {
      for (const id of ids) say(mode === undefined ? id : `${id}, ${mode}`)
      say(`  ${reason}`)
    }
    return isGood
  } finally {
    server.stop()
    rmSync(folder, { force: true, recursive: true })
  }
}

const [, , mode, engine, base] = process.argv
if (base === undefined) {
  process.exitCode = await main() ? 0 : 1
} else {
  const chosenMode = modes.find((name) => name === mode)
  const chosenEngine = engines.find((name) => name === engine)
  if (chosenMode === undefined || chosenEngine === undefined) throw new Error(`no such run: ${mode}, ${engine}`)
  process.send?.(await outcomesOf(chosenMode, chosenEngine, base))
  process.disconnect()
}
