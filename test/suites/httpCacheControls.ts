/** What users say of an HTTP cache and do to it by hand, and how they see what it does, on any engine. */
import { HttpClient, HttpClientError, HttpClientResponse } from "@effect/platform"
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Chunk, Context, Effect, Either, Layer, Metric, Option, Stream, TestClock } from "effect"
import { HttpCache, Storage } from "effect-kv"
import { describeOn, type Engine } from "../engines.js"
import {
  type Answer,
  base,
  bodyRows,
  cached,
  eventsOf,
  everything,
  fresh,
  httpDate,
  origin,
  readAll,
  requestOf,
  start,
  testOn,
  wait
} from "../httpCached.js"

const responseOf = (body: string, headers: Readonly<Record<string, string>>, status = 200) =>
  HttpClientResponse.fromWeb(requestOf("/"), new Response(body, { headers, status }))

const entriesOf = (cache: HttpCache.HttpCache["Type"]) => Effect.map(Stream.runCollect(cache.entries), Chunk.toArray)

const pathsOf = (cache: HttpCache.HttpCache["Type"]) =>
  Effect.map(entriesOf(cache), (all) => all.map(({ url }) => url.replace(base, "")))

export const suite = (engine: Engine) =>
  describeOn(engine, "HttpCache", () => {
    const test = testOn(engine)

    describe("modes", () => {
      /** What is asked of an origin whose answers are fresh for 10 seconds, after so many seconds. */
      const inMode = (mode: HttpCache.Mode, after: number | undefined, control = "max-age=10") =>
        Effect.gen(function*() {
          const { cache, get, seen } = yield* cached(
            (_, call) => ({ body: String(call), headers: { "cache-control": control, etag: `"${call}"` } }),
            { name: JSON.stringify([mode, after, control]) }
          )
          if (after !== undefined) {
            yield* get("/a")
            yield* wait(after * 1000)
          }
          const answer = yield* HttpCache.withOptions(get("/a"), { mode })
          const stored = yield* Effect.map(cache.get(`${base}/a`), Option.isSome)
          return { answer, asked: seen.length > (after === undefined ? 0 : 1), last: seen.at(-1), stored }
        })

      test(
        "default, force-cache, no-cache, no-store and reload",
        Effect.gen(function*() {
          const cases: ReadonlyArray<[HttpCache.Mode, number | undefined, HttpCache.CacheInfo["outcome"], boolean]> = [
            ["default", undefined, "miss", true],
            ["default", 5, "hit", false],
            ["default", 15, "miss", true],
            ["force-cache", undefined, "miss", true],
            ["force-cache", 5, "hit", false],
            ["force-cache", 15, "stale", false],
            ["no-cache", undefined, "miss", true],
            ["no-cache", 5, "miss", true],
            ["no-store", undefined, "bypass", true],
            ["no-store", 5, "bypass", true],
            ["reload", undefined, "miss", true],
            ["reload", 5, "miss", true],
            ["only-if-cached", 5, "hit", false],
            ["only-if-cached", 15, "stale", false]
          ]
          for (const [mode, after, outcome, asks] of cases) {
            const { answer, asked, stored } = yield* inMode(mode, after)
            deepStrictEqual([answer.info.outcome, asked], [outcome, asks], `${mode} after ${after}`)
            assert.strictEqual(stored, mode !== "no-store" || after !== undefined, mode)
          }
        })
      )

      test(
        "no-cache validates, and reload does not even ask whether it is current",
        Effect.gen(function*() {
          assert.strictEqual((yield* inMode("no-cache", 5)).last?.headers["if-none-match"], "\"1\"")
          assert.isUndefined((yield* inMode("reload", 5)).last?.headers["if-none-match"])
          assert.isUndefined((yield* inMode("no-store", 5)).last?.headers["if-none-match"])
        })
      )

      test(
        "no-cache lets a fresh immutable be, and reload does not",
        Effect.gen(function*() {
          assert.isFalse((yield* inMode("no-cache", 5, "max-age=10, immutable")).asked)
          assert.isTrue((yield* inMode("no-cache", 15, "max-age=10, immutable")).asked)
          assert.isTrue((yield* inMode("reload", 5, "max-age=10, immutable")).asked)
        })
      )

      test(
        "reload takes the place of what was stored, and no-store does not",
        Effect.gen(function*() {
          const { get } = yield* cached((_, call) => fresh(100, String(call)))
          yield* get("/a")
          yield* HttpCache.withOptions(get("/a"), { mode: "reload" })
          assert.strictEqual((yield* get("/a")).text, "2")
          yield* HttpCache.withOptions(get("/a"), { mode: "no-store" })
          assert.strictEqual((yield* get("/a")).text, "2")
        })
      )

      test(
        "only-if-cached is a 504, or a CacheMiss",
        Effect.gen(function*() {
          const only = HttpCache.withOptions({ mode: "only-if-cached" })
          const responding = yield* cached(() => fresh(10))
          const answer = yield* only(responding.get("/a"))
          deepStrictEqual([answer.status, answer.text, responding.calls()], [504, "", 0])
          const failing = yield* cached(() => fresh(10), { onCacheMiss: "fail" })
          const error = yield* Effect.flip(only(failing.get("/a")))
          assert.instanceOf(error, HttpCache.CacheMiss)
          if (error._tag === "CacheMiss") deepStrictEqual([error.method, error.url], ["GET", `${base}/a`])
          assert.isTrue(Either.isLeft(
            yield* Effect.either(failing.get("/a", { "cache-control": "only-if-cached" }))
          ))
          assert.strictEqual(failing.calls(), 0)
        })
      )

      test(
        "as a layer a CacheMiss is the cause of a RequestError",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const { client, seen } = origin(() => fresh(10))
          const context = yield* Layer.build(
            HttpCache.layer({ onCacheMiss: "fail" }).pipe(
              Layer.provide(Layer.succeed(HttpClient.HttpClient, client)),
              Layer.provide(Layer.succeed(Storage.Storage, storage))
            )
          )
          const error = yield* HttpClient.get(`${base}/a`).pipe(
            HttpCache.withOptions({ mode: "only-if-cached" }),
            Effect.provide(context),
            Effect.flip
          )
          assert.instanceOf(error, HttpClientError.RequestError)
          assert.instanceOf(error.cause, HttpCache.CacheMiss)
          const twice = yield* HttpClient.get(`${base}/a`).pipe(
            Effect.flatMap(readAll),
            Effect.replicateEffect(2),
            Effect.provide(context)
          )
          deepStrictEqual(twice.map(({ info }) => info.outcome), ["miss", "hit"])
          assert.strictEqual(seen.length, 1)
          assert.strictEqual(yield* Context.get(context, HttpCache.HttpCache).size, 1)
        })
      )

      test(
        "what is said inside comes before what is said outside",
        Effect.gen(function*() {
          const { get } = yield* cached(() => fresh(10))
          yield* get("/a")
          const answer = yield* get("/a").pipe(
            HttpCache.withOptions({ mode: "default" }),
            HttpCache.withOptions({ mode: "no-store", tags: ["t"] })
          )
          assert.strictEqual(answer.info.outcome, "hit")
          assert.strictEqual((yield* HttpCache.withOptions(get("/a"), { mode: "reload" })).info.outcome, "miss")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
        })
      )

      test(
        "options that are not valid fail",
        Effect.gen(function*() {
          const invalid: ReadonlyArray<HttpCache.Options> = [
            { timeToLive: new Date(Number.NaN) },
            { heuristics: { fraction: 2 } },
            { maxBytes: 0 },
            { maxEntries: -1 },
            { rules: [{ heuristics: { fraction: -1 } }] }
          ]
          for (const options of invalid) {
            const error = yield* Effect.flip(HttpCache.make(options))
            assert.strictEqual(error.reason, "InvalidValue", JSON.stringify(options))
          }
          const { calls, get } = yield* cached(() => fresh(10))
          const exit = yield* Effect.either(HttpCache.withOptions(get("/a"), { heuristics: { fraction: 2 } }))
          assert.isTrue(Either.isLeft(exit))
          assert.strictEqual(calls(), 0)
        })
      )
    })

    describe("disabled", () => {
      test(
        "neither reads nor writes, and only in the effect, whatever becomes of it",
        Effect.gen(function*() {
          const { cache, calls, get } = yield* cached((_, call) => fresh(100, String(call)))
          yield* HttpCache.disabled(get("/a"))
          assert.strictEqual(yield* cache.size, 0)
          yield* get("/a")
          assert.strictEqual((yield* HttpCache.disabled(get("/a"))).text, "3")
          yield* Effect.exit(HttpCache.disabled(Effect.zipRight(get("/a"), Effect.fail("no"))))
          yield* Effect.exit(HttpCache.disabled(Effect.zipRight(get("/a"), Effect.die("no"))))
          yield* Effect.exit(HttpCache.disabled(Effect.zipRight(get("/a"), Effect.interrupt)))
          const hit = yield* get("/a")
          deepStrictEqual([hit.text, hit.info.outcome, calls()], ["2", "hit", 6])
        })
      )

      test(
        "unsafe methods invalidate all the same",
        Effect.gen(function*() {
          const { ask, cache, get } = yield* cached(() => fresh(100))
          yield* get("/a")
          yield* cache.size
          yield* HttpCache.disabled(ask("/a", { method: "DELETE" }))
          assert.isFalse(yield* cache.has(`${base}/a`))
        })
      )
    })

    describe("offline", () => {
      test(
        "uses what is stored however old it is, and never asks the origin",
        Effect.gen(function*() {
          let offline = false
          const { calls, get } = yield* cached(() => fresh(10, "body", { "x-a": "1" }), {
            offline: Effect.sync(() => offline)
          })
          yield* get("/a")
          yield* wait("1 day")
          offline = true
          const { info, status, text } = yield* get("/a")
          deepStrictEqual([info.outcome, status, text], ["stale", 200, "body"])
          assert.strictEqual((yield* get("/b")).status, 504)
          assert.strictEqual(calls(), 1)
          offline = false
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
        })
      )

      test(
        "always, and what is not there is a CacheMiss",
        Effect.gen(function*() {
          const online = yield* cached(() => fresh(10))
          yield* online.get("/a")
          const { calls, get } = yield* cached(() => fresh(10), { offline: true, onCacheMiss: "fail" })
          yield* wait("1 day")
          assert.strictEqual((yield* get("/a")).text, "body")
          assert.strictEqual((yield* Effect.flip(get("/b")))._tag, "CacheMiss")
          assert.strictEqual(calls(), 0)
        })
      )
    })

    describe("time to live", () => {
      test(
        "what the response says, then the request, the rule and all, then heuristics",
        Effect.gen(function*() {
          const says = { headers: { "cache-control": "max-age=10" } }
          const silent = {}
          const modified = { headers: { date: httpDate(0), "last-modified": httpDate(-1000) } }
          const rules = [{ timeToLive: "30 seconds", url: `${base}/ruled` }] as const
          const cases: ReadonlyArray<
            [path: string, answer: Answer, options: HttpCache.Options, own: HttpCache.RequestOptions, seconds: number]
          > = [
            ["/a", says, {}, {}, 10],
            ["/a", says, { timeToLive: "20 seconds" }, {}, 10],
            ["/ruled", says, { rules, timeToLive: "20 seconds" }, { timeToLive: "40 seconds" }, 10],
            ["/a", silent, { timeToLive: "20 seconds" }, {}, 20],
            ["/ruled", silent, { rules, timeToLive: "20 seconds" }, {}, 30],
            ["/ruled", silent, { rules, timeToLive: "20 seconds" }, { timeToLive: "40 seconds" }, 40],
            ["/a", silent, {}, { timeToLive: new Date(start + 50_000) }, 50],
            ["/a", modified, {}, {}, 100],
            ["/a", modified, { timeToLive: "20 seconds" }, {}, 20],
            ["/a", says, { cacheControl: "ignore", timeToLive: "20 seconds" }, {}, 20],
            [
              "/a",
              { headers: { "cache-control": "no-store" } },
              { cacheControl: "ignore", timeToLive: "20 seconds" },
              {},
              20
            ],
            [
              "/a",
              { headers: { expires: httpDate(1000) } },
              { cacheControl: "ignore", timeToLive: "20 seconds" },
              {},
              20
            ],
            ["/a", says, { timeToLive: "20 seconds" }, { cacheControl: "ignore" }, 20],
            ["/a", says, { cacheControl: "ignore", timeToLive: "20 seconds" }, { cacheControl: "respect" }, 10]
          ]
          for (const [i, [path, answer, options, own, seconds]] of cases.entries()) {
            yield* TestClock.setTime(start)
            const { get } = yield* cached(() => answer, { ...options, name: String(i) })
            const asking = HttpCache.withOptions(get(path), own)
            yield* asking
            yield* wait(seconds * 1000 - 1)
            assert.strictEqual((yield* asking).info.outcome, "hit", `case ${i}`)
            yield* wait(1)
            assert.strictEqual((yield* asking).info.outcome, "miss", `case ${i}`)
          }
        })
      )

      test(
        "zero: what does not tell is not stored",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(
            ({ url }) => url.endsWith("told") ? fresh(10) : { headers: { "last-modified": httpDate(-1000) } },
            {
              timeToLive: 0
            }
          )
          for (const path of ["/a", "/told"]) yield* get(path)
          deepStrictEqual(yield* pathsOf(cache), ["/told"])
        })
      )

      test(
        "for ever",
        Effect.gen(function*() {
          for (const timeToLive of [Infinity, "999999999 weeks"] as const) {
            const { cache, get } = yield* cached(() => ({ body: "x" }), { name: String(timeToLive), timeToLive })
            yield* get("/a")
            yield* wait("10000 days")
            yield* cache.removeExpired
            const hit = yield* get("/a")
            deepStrictEqual([hit.info.outcome, hit.text], ["hit", "x"])
          }
        })
      )

      test(
        "the first rule that matches counts",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(() => ({}), {
            rules: [
              { timeToLive: 10_000, url: "**.example.com/users/*" },
              { store: false, url: /secret/g },
              { timeToLive: 30_000, url: (url) => url.pathname.startsWith("/f") },
              { timeToLive: 40_000, when: ({ headers }) => headers["x-when"] === "1" },
              { timeToLive: 50_000, url: "https://api.example.com/q?x=*" },
              { timeToLive: 60_000, url: "https://api.example.com/**" }
            ]
          })
          const cases: ReadonlyArray<[string, Readonly<Record<string, string>>, number | undefined]> = [
            ["/users/1", {}, 10],
            ["/users/1/posts", {}, 60],
            ["/secret/1", {}, undefined],
            ["/secret/2", {}, undefined],
            ["/f/secret", {}, undefined],
            ["/f/x", {}, 30],
            ["/w", { "x-when": "1" }, 40],
            ["/q?x=1", {}, 50],
            ["/q?y=1", {}, 60],
            ["https://api.example.com.evil.test/users/1", {}, undefined]
          ]
          for (const [path, headers, seconds] of cases) {
            yield* get(path, headers)
            const { info } = yield* get(path, headers)
            deepStrictEqual(
              info.outcome === "hit" ? (info.timeToLive ?? 0) / 1000 : undefined,
              seconds,
              path
            )
          }
          assert.strictEqual(yield* cache.size, 7)
        })
      )

      test(
        "retain: how long it is kept after that",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(() => fresh(10, "body", { etag: "\"1\"" }), { retain: "20 seconds" })
          yield* get("/a")
          yield* wait("29 seconds")
          assert.isTrue(yield* cache.has(`${base}/a`))
          yield* wait("1 seconds")
          assert.isFalse(yield* cache.has(`${base}/a`))
          assert.strictEqual(yield* cache.removeExpired, 1)
          deepStrictEqual(yield* bodyRows(), [])
        })
      )
    })

    describe("what is cached", () => {
      test(
        "statuses",
        Effect.gen(function*() {
          for (const statuses of [[200, 404], (status: number) => status === 200 || status === 404]) {
            const { get } = yield* cached(({ url }) => ({ ...fresh(10), status: Number(url.slice(-3)) }), {
              name: typeof statuses,
              statuses
            })
            for (const [status, outcome] of [[200, "hit"], [404, "hit"], [301, "miss"], [500, "miss"]] as const) {
              yield* get(`/${status}`)
              assert.strictEqual((yield* get(`/${status}`)).info.outcome, outcome, String(status))
            }
          }
        })
      )

      test(
        "methods with bodies, if that is asked for: the body is a part of the key",
        Effect.gen(function*() {
          const { ask, calls } = yield* cached(({ body, method }) => fresh(100, `${method} ${body}`), {
            methods: ["GET", "POST", "QUERY"]
          })
          for (const method of ["POST", "QUERY"]) {
            const before = calls()
            for (const body of ["a", "b", "a", "b"]) {
              assert.strictEqual((yield* ask("/a", { body, method })).text, `${method} ${body}`)
            }
            assert.strictEqual(calls() - before, 2, method)
          }
          assert.strictEqual((yield* ask("/a")).text, "GET ")
        })
      )

      test(
        "not without being asked for",
        Effect.gen(function*() {
          const { ask, cache } = yield* cached(() => fresh(100))
          for (const method of ["POST", "QUERY", "PUT"]) {
            yield* ask("/a", { body: "a", method })
            const { info } = yield* ask("/a", { body: "a", method })
            deepStrictEqual([info.outcome, info.forwarded], ["bypass", "method"])
          }
          assert.strictEqual(yield* cache.size, 0)
        })
      )

      test(
        "GET alone, without HEAD",
        Effect.gen(function*() {
          const { ask, get } = yield* cached(() => fresh(100), { methods: ["get"] })
          yield* get("/a")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          assert.strictEqual((yield* ask("/a", { method: "HEAD" })).info.outcome, "bypass")
        })
      )

      test(
        "parameters that make no difference, those that do, and their order",
        Effect.gen(function*() {
          const cases: ReadonlyArray<[HttpCache.Options, string, string, boolean]> = [
            [{}, "?a=1&b=2", "?b=2&a=1", false],
            [{ sortedQuery: true }, "?a=1&b=2", "?b=2&a=1", true],
            [{ sortedQuery: true }, "?a=1&a=2", "?a=2", false],
            [{ ignoredParameters: ["utm_*", "x"] }, "?a=1&utm_source=1&x=2", "?a=1&utm_medium=3", true],
            [{ ignoredParameters: ["utm_*", "x"] }, "?utm_source=1", "", true],
            [{ ignoredParameters: ["x"] }, "?xx=1", "?xx=2", false],
            [{ significantParameters: ["id"] }, "?id=1&a=1", "?b=2&id=1", true],
            [{ significantParameters: ["id"] }, "?id=1", "?id=2", false],
            [{ ignoredParameters: ["a b"] }, "?a+b=1", "?a%20b=2", true]
          ]
          for (const [i, [options, one, other, isHit]] of cases.entries()) {
            const { get } = yield* cached(() => fresh(10), { ...options, name: String(i) })
            yield* get(`/a${one}`)
            assert.strictEqual((yield* get(`/a${other}`)).info.outcome, isHit ? "hit" : "miss", `case ${i}`)
          }
        })
      )

      test(
        "the origin is asked for the URL as it is",
        Effect.gen(function*() {
          const { get, seen } = yield* cached(() => fresh(10), { ignoredParameters: ["x"], sortedQuery: true })
          yield* get("/a?z=1&x=2&b=3")
          assert.strictEqual(seen[0]?.url, `${base}/a?z=1&x=2&b=3`)
        })
      )

      test(
        "headers that make a difference",
        Effect.gen(function*() {
          const { calls, get } = yield* cached((_, call) => fresh(10, String(call)), { keyHeaders: ["X-Version"] })
          const texts = yield* Effect.forEach(["1", "2", "1", undefined], (version) =>
            Effect.map(get("/a", version === undefined ? {} : { "x-version": version }), ({ text }) => text))
          deepStrictEqual(texts, ["1", "2", "1", "3"])
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "shouldStore and shouldUse",
        Effect.gen(function*() {
          let use = true
          const { cache, get } = yield* cached((_, call) =>
            fresh(100, String(call), { "x-store": String(call > 1) }), {
            shouldStore: (request, { headers }) =>
              Effect.succeed(headers["x-store"] === "true" && request.url.startsWith(base)),
            shouldUse: (_, stored) => Effect.succeed(use && stored.status === 200)
          })
          yield* get("/a")
          assert.strictEqual(yield* cache.size, 0)
          yield* get("/a")
          assert.strictEqual((yield* get("/a")).text, "2")
          use = false
          assert.strictEqual((yield* get("/a")).text, "3")
          use = true
          assert.strictEqual((yield* get("/a")).text, "3")
        })
      )

      test(
        "headers that are not stored, and cookies",
        Effect.gen(function*() {
          const { get } = yield* cached(
            () => ({ ...fresh(10, "body", { "x-a": "1", "x-b": "2" }), cookies: ["a=s3cret"] }),
            {
              droppedHeaders: ["X-A", "Set-Cookie"]
            }
          )
          const first = yield* get("/a")
          deepStrictEqual([first.headers["x-a"], first.cookies], ["1", ["a=s3cret"]])
          const hit = yield* get("/a")
          deepStrictEqual(
            [hit.info.outcome, hit.headers["x-a"], hit.headers["x-b"], hit.headers["set-cookie"], hit.cookies],
            ["hit", undefined, "2", undefined, []]
          )
          assert.isFalse((yield* everything).some((row) => row.includes("s3cret")))
        })
      )

      test(
        "headers of one connection are not stored",
        Effect.gen(function*() {
          const { get } = yield* cached(() =>
            fresh(10, "body", {
              connection: "x-hop",
              "keep-alive": "timeout=5",
              "proxy-authenticate": "a",
              "x-hop": "1",
              "x-kept": "1"
            })
          )
          yield* get("/a")
          const { headers } = yield* get("/a")
          deepStrictEqual(
            ["connection", "keep-alive", "proxy-authenticate", "x-hop", "x-kept"].map((name) => headers[name]),
            [undefined, undefined, undefined, undefined, "1"]
          )
        })
      )
    })

    describe("by hand", () => {
      test(
        "has and get: fresh and stale, for the variant that is asked for",
        Effect.gen(function*() {
          const { cache, calls, get } = yield* cached(({ headers }) =>
            fresh(10, `for ${headers["accept"]}`, { vary: "accept" })
          )
          const request = requestOf("/a", { headers: { accept: "a" } })
          assert.isFalse(yield* cache.has(request))
          assert.isTrue(Option.isNone(yield* cache.get(request)))
          yield* get("/a", { accept: "a" })
          assert.isTrue(yield* cache.has(request))
          assert.isFalse(yield* cache.has(`${base}/a`))
          const found = yield* readAll(Option.getOrThrow(yield* cache.get(request)))
          deepStrictEqual([found.text, found.status, found.info.outcome], ["for a", 200, "hit"])
          yield* wait("15 seconds")
          assert.isTrue(yield* cache.has(request))
          const stale = yield* readAll(Option.getOrThrow(yield* cache.get(request)))
          deepStrictEqual([stale.text, stale.info.outcome], ["for a", "stale"])
          assert.isTrue(yield* cache.has(new URL(`${base}/a`)).pipe(Effect.map((has) => !has)))
          assert.strictEqual(calls(), 1)
          assert.isTrue(Either.isLeft(yield* Effect.either(cache.has("no url"))))
        })
      )

      test(
        "put stores as if it had come from the origin, if it may be",
        Effect.gen(function*() {
          const { cache, calls, get } = yield* cached(() => fresh(10, "from the origin"))
          assert.isTrue(
            yield* cache.put(`${base}/a`, responseOf("warm", { "cache-control": "max-age=10" }), { tags: ["t"] })
          )
          assert.isFalse(yield* cache.put(`${base}/b`, responseOf("warm", { "cache-control": "no-store" })))
          assert.isTrue(yield* cache.put(`${base}/c`, responseOf("x".repeat(600_000), {}), { timeToLive: "1 minute" }))
          const hit = yield* get("/a")
          deepStrictEqual([hit.text, hit.info.outcome, calls()], ["warm", "hit", 0])
          assert.strictEqual((yield* get("/c")).text.length, 600_000)
          assert.strictEqual((yield* get("/b")).text, "from the origin")
          assert.strictEqual(yield* cache.deleteTag("t"), 1)
        })
      )

      test(
        "delete, deletePrefix, deleteHost and clear",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(() => fresh(100, "body", { vary: "accept" }))
          const other = "https://api.example.com:8443/a"
          const fill = Effect.forEach(
            ["/a", "/a/b", "/a/c", "/b", other, "http://api.example.com/a", "https://api.example.com.evil.test/a"],
            (path) => Effect.forEach(["x", "y"], (accept) => get(path, { accept }))
          )
          yield* fill
          assert.strictEqual(yield* cache.size, 7)
          assert.isTrue(yield* cache.delete(`${base}/a`))
          assert.isFalse(yield* cache.delete(`${base}/a`))
          assert.isTrue(yield* cache.delete(new URL(`${base}/b#fragment`)))
          assert.strictEqual(yield* cache.deletePrefix(`${base}/a/`), 2)
          deepStrictEqual(yield* cache.size, 3)
          assert.strictEqual(yield* cache.deleteHost("API.example.com"), 1)
          assert.strictEqual(yield* cache.deleteHost("api.example.com:8443"), 1)
          deepStrictEqual(
            (yield* entriesOf(cache)).map(({ url }) => url),
            ["https://api.example.com.evil.test/a", "https://api.example.com.evil.test/a"]
          )
          yield* fill
          assert.strictEqual(yield* cache.deletePrefix("https://"), 6)
          assert.strictEqual(yield* cache.clear, 1)
          assert.strictEqual(yield* cache.clear, 0)
          deepStrictEqual(yield* bodyRows(), [])
          assert.strictEqual(yield* cache.bytes, 0)
          assert.isTrue(Either.isLeft(yield* Effect.either(cache.delete("no url"))))
        })
      )

      test(
        "prefixes and hosts of long URLs",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(() => fresh(100))
          const long = `/${"x".repeat(1000)}`
          for (const path of [`${long}/a`, `${long}/b`, `${long}c`, "/x"]) yield* get(path)
          yield* cache.size
          assert.strictEqual(yield* cache.deletePrefix(`${base}${long}/`), 2)
          deepStrictEqual(yield* pathsOf(cache), ["/x", `${long}c`])
          assert.strictEqual(yield* cache.deleteHost("api.example.com"), 2)
        })
      )

      test(
        "tags: of the request, of the rule and of headers",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(({ url }) =>
            fresh(
              100,
              "body",
              {
                "/groups": { "cache-groups": "\"g\", \"h\"" },
                "/header": { "cache-tag": "one, two" },
                "/surrogate": { "surrogate-key": "two three" }
              }[new URL(url).pathname] ?? {}
            ), {
            rules: [{ tags: ["rule"], url: `${base}/rule*` }],
            tagHeaders: ["Cache-Tag", "Surrogate-Key"]
          })
          yield* HttpCache.withOptions(get("/own"), { tags: ["own", "rule"] })
          for (const path of ["/rule", "/header", "/surrogate", "/groups", "/none"]) yield* get(path)
          yield* HttpCache.withOptions(get("/rule2"), { tags: ["own"] })
          const tags = new Map(
            (yield* entriesOf(cache)).map(({ tags, url }) => [url.replace(base, ""), [...tags].sort()])
          )
          deepStrictEqual(
            ["/own", "/rule", "/rule2", "/header", "/surrogate", "/none"].map((path) => tags.get(path)),
            [["own", "rule"], ["rule"], ["own", "rule"], ["one", "two"], ["three", "two"], []]
          )
          assert.strictEqual(yield* cache.deleteTag("two"), 2)
          assert.strictEqual(yield* cache.deleteTag("rule"), 3)
          assert.strictEqual(yield* cache.deleteTag("nothing"), 0)
          deepStrictEqual(yield* pathsOf(cache), ["/groups", "/none"])
        })
      )

      test(
        "cache groups are invalidated by responses of the same origin to unsafe methods: RFC 9875",
        Effect.gen(function*() {
          let answer: Answer = {}
          const { ask, cache, get } = yield* cached(({ method, url }) =>
            method === "POST"
              ? answer
              : fresh(100, "body", url.endsWith("none") ? {} : { "cache-groups": "\"g\", \"Other\"" })
          )
          const other = "https://other.example.com/a"
          const fill = Effect.zipRight(
            Effect.forEach(["/a", "/b", "/none", other], (path) => get(path)),
            // Until all is stored.
            cache.size
          )
          const has = Effect.forEach([`${base}/a`, `${base}/b`, `${base}/none`, other], (url) => cache.has(url))
          const invalidation = (value: string) => ({ headers: { "cache-group-invalidation": value } })
          for (
            const [value, status, gone] of [
              ["\"g\"", 200, true],
              ["\"x\", \"Other\"", 200, true],
              ["\"G\"", 200, false],
              ["g", 200, false],
              ["\"g\"", 500, false]
            ] as const
          ) {
            yield* fill
            answer = { ...invalidation(value), status }
            yield* ask("/post", { method: "POST" })
            deepStrictEqual(yield* has, [!gone, !gone, true, true], `${value} ${status}`)
          }
          yield* fill
          const safe = yield* cached(() => invalidation("\"g\""))
          yield* safe.get("/other")
          deepStrictEqual(yield* has, [true, true, true, true])
        })
      )

      test(
        "entries tell what is known, without secrets",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(({ url }) =>
            url.endsWith("b")
              ? {
                ...fresh(20, "body b", { "set-cookie": "a=s3cret", "x-api-key": "s3cret" }),
                cookies: ["sid=s3cret"],
                status: 404
              }
              : fresh(10, "body", { age: "3" })
          )
          yield* get("/b", { authorization: "Bearer s3cret" })
          yield* get("/a")
          const [a, b, ...more] = yield* entriesOf(cache)
          deepStrictEqual(more, [])
          deepStrictEqual(
            [a?.url, a?.method, a?.status, a?.bytes, a?.storedAt, a?.freshUntil, a?.headers["cache-control"]],
            [`${base}/a`, "GET", 200, 4, start, start + 7000, "max-age=10"]
          )
          deepStrictEqual([b?.url, b?.status, b?.bytes, b?.freshUntil], [`${base}/b`, 404, 6, start + 20_000])
          assert.isFalse(JSON.stringify([a, b]).includes("s3cret"))
        })
      )

      test(
        "two caches of different names in one storage have nothing in common, and of one name all",
        Effect.gen(function*() {
          const one = yield* cached(() => fresh(10, "one"), { name: "one" })
          const other = yield* cached(() => fresh(10, "other"), { name: "other" })
          const same = yield* cached(() => fresh(10, "same"), { name: "one" })
          yield* one.get("/a")
          // A cache knows what it is storing itself, and not what another one is.
          yield* one.cache.size
          const all = yield* Effect.forEach([one, other, same], ({ get }) => get("/a"))
          deepStrictEqual(all.map(({ text }) => text), ["one", "other", "one"])
          yield* other.cache.size
          assert.strictEqual(yield* other.cache.clear, 1)
          assert.isTrue(yield* same.cache.has(`${base}/a`))
        })
      )
    })

    describe("bounds", () => {
      test(
        "a body that is too large is handed on and not stored",
        Effect.gen(function*() {
          const large = "x".repeat(500_000)
          const { cache, get } = yield* cached(({ url }) => fresh(100, url.endsWith("large") ? large : "small"), {
            maxEntryBytes: 300_000
          })
          for (let i = 0; i < 2; i++) {
            const { info, text } = yield* get("/large")
            assert.isTrue(text === large)
            assert.strictEqual(info.outcome, "miss")
          }
          yield* get("/small")
          deepStrictEqual(yield* pathsOf(cache), ["/small"])
          assert.strictEqual((yield* bodyRows()).length, 1)
        })
      )

      test(
        "maxEntries: what was not used for the longest time goes",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(() => fresh(1000), { maxEntries: 3 })
          for (const path of ["/a", "/b", "/c", "/a", "/d"]) {
            yield* get(path)
            yield* cache.size
            yield* wait(1000)
          }
          deepStrictEqual(yield* pathsOf(cache), ["/a", "/c", "/d"])
          assert.strictEqual((yield* bodyRows()).length, 3)
        })
      )

      test(
        "maxBytes",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(() => fresh(1000, "x".repeat(30_000)), { maxBytes: 100_000 })
          for (let i = 0; i < 10; i++) {
            yield* get(`/${i}`)
            yield* wait(1000)
            assert.isAtMost(yield* cache.bytes, 100_000)
          }
          deepStrictEqual(yield* pathsOf(cache), ["/7", "/8", "/9"])
        })
      )
    })

    describe("is seen", () => {
      const second = (
        answer: Answer,
        options: HttpCache.Options,
        headers: Readonly<Record<string, string>> = {},
        after = 0
      ) =>
        Effect.gen(function*() {
          const { get } = yield* cached(
            (_, call) =>
              call > 1 && answer.headers?.["etag"] !== undefined
                ? { headers: { etag: answer.headers["etag"] }, status: 304 }
                : answer,
            { cacheStatus: "Kept", ...options, name: JSON.stringify([answer, headers, after]) }
          )
          const first = yield* get("/a")
          yield* wait(after * 1000)
          return [first, yield* get("/a", headers)] as const
        })
      /** The parameters of the cache's own member. */
      const parameters = (field: string | undefined) =>
        (field ?? "").split(",").at(-1)!.split(";").map((part) => part.trim()).filter((part) =>
          !part.startsWith("detail=")
        )
          .sort()

      test(
        "Cache-Status: RFC 9211",
        Effect.gen(function*() {
          const [miss, hit] = yield* second(fresh(10), {}, {}, 3)
          deepStrictEqual(parameters(miss.headers["cache-status"]), ["Kept", "fwd=uri-miss", "stored"])
          deepStrictEqual(parameters(hit.headers["cache-status"]), ["Kept", "hit", "ttl=7"])
          const [, stale] = yield* second(fresh(10), {}, { "cache-control": "max-stale" }, 15)
          deepStrictEqual(parameters(stale.headers["cache-status"]), ["Kept", "hit", "ttl=-5"])
          const [, validated] = yield* second(fresh(10, "body", { etag: "\"1\"" }), {}, {}, 15)
          const found = parameters(validated.headers["cache-status"])
          for (const part of ["fwd=stale", "fwd-status=304"]) assert.isTrue(found.includes(part), found.join())
          const [, bypass] = yield* second(fresh(10), {}, { "cache-control": "no-store" })
          deepStrictEqual(parameters(bypass.headers["cache-status"]), ["Kept", "fwd=bypass"])
          const [, request] = yield* second(fresh(10), {}, { "cache-control": "no-cache" })
          deepStrictEqual(parameters(request.headers["cache-status"]), ["Kept", "fwd=request", "stored"])
        })
      )

      test(
        "Cache-Status of methods, of caches before it, of names that are no tokens",
        Effect.gen(function*() {
          const { ask, get } = yield* cached(() => fresh(10, "body", { "cache-status": "Origin; hit" }), {
            cacheStatus: "my \"own\" cache"
          })
          const first = yield* get("/a")
          assert.isTrue(
            first.headers["cache-status"]?.startsWith("Origin; hit, \"my \\\"own\\\" cache\"; fwd=uri-miss") ||
              first.headers["cache-status"]?.startsWith("Origin; hit, \"my \\\"own\\\" cache\";fwd=uri-miss")
          )
          const hit = yield* get("/a")
          assert.match(hit.headers["cache-status"] ?? "", /^Origin; ?hit, "my \\"own\\" cache"; ?hit/)
          assert.match((yield* ask("/a", { method: "POST" })).headers["cache-status"] ?? "", /fwd=method/)
          const silent = yield* cached(() => fresh(10), { name: "silent" })
          assert.isUndefined((yield* silent.get("/a")).headers["cache-status"])
        })
      )

      test(
        "info of every outcome",
        Effect.gen(function*() {
          const { ask, get } = yield* cached((_, call) =>
            call === 2 ? { headers: { etag: "\"1\"" }, status: 304 } : fresh(10, "body", { etag: "\"1\"" })
          )
          const { info: miss } = yield* get("/a")
          deepStrictEqual([miss.outcome, miss.forwarded, miss.stored, miss.collapsed], [
            "miss",
            "uri-miss",
            true,
            undefined
          ])
          yield* wait(2000)
          const { info: hit } = yield* get("/a")
          deepStrictEqual(
            [hit.outcome, hit.forwarded, hit.stored, hit.age, hit.timeToLive, hit.storedAt],
            ["hit", undefined, true, 2000, 8000, start]
          )
          assert.isString(hit.key)
          yield* wait(10_000)
          const { info: stale } = yield* get("/a", { "cache-control": "max-stale" })
          deepStrictEqual([stale.outcome, stale.age, stale.timeToLive], ["stale", 12_000, -2000])
          const { info: revalidated } = yield* get("/a")
          deepStrictEqual(
            [revalidated.outcome, revalidated.forwarded, revalidated.age, revalidated.storedAt],
            ["revalidated", "stale", 0, start + 12_000]
          )
          const { info: bypass } = yield* get("/a", { "cache-control": "no-store" })
          deepStrictEqual([bypass.outcome, bypass.forwarded, bypass.stored], ["bypass", "bypass", false])
          const { info: method } = yield* ask("/b", { method: "PUT" })
          deepStrictEqual([method.outcome, method.forwarded], ["bypass", "method"])
          const { client } = origin(() => ({}))
          assert.isTrue(Option.isNone(HttpCache.info(yield* client.execute(requestOf("/a")))))
        })
      )

      test(
        "metrics",
        Effect.gen(function*() {
          const name = `metered ${engine.name}`
          const counted = Effect.map(
            Effect.all(Object.fromEntries(
              Object.entries(HttpCache.metrics).map(([key, metric]) => [
                key,
                Effect.map(Metric.value(Metric.tagged(metric, "cache", name)), ({ count }) => count)
              ])
            )),
            (all) => ({ ...all })
          )
          const { ask, cache, get } = yield* cached(({ headers }) =>
            headers["if-none-match"] === undefined
              ? fresh(10, "body", { etag: "\"1\"" })
              : { headers: { etag: "\"1\"" }, status: 304 }, {
            maxEntries: 2,
            name
          })
          yield* get("/a")
          yield* get("/a")
          yield* get("/a")
          yield* wait("15 seconds")
          yield* get("/a", { "cache-control": "max-stale" })
          yield* get("/a")
          yield* HttpCache.disabled(get("/a"))
          yield* cache.size
          yield* wait("1 seconds")
          yield* get("/b")
          yield* cache.size
          yield* wait("1 seconds")
          yield* get("/c")
          yield* cache.size
          yield* ask("/c", { method: "DELETE" })
          deepStrictEqual(yield* counted, {
            bypasses: 2,
            bytesServed: 16,
            collapsed: 0,
            damaged: 0,
            errors: 0,
            evictions: 1,
            hits: 2,
            invalidations: 1,
            misses: 3,
            revalidations: 1,
            staleHits: 1,
            stores: 3
          })
        })
      )

      test(
        "events",
        Effect.gen(function*() {
          const { ask, cache, get } = yield* cached(({ url }) =>
            url.endsWith("no") ? { headers: { "cache-control": "no-store" } } : fresh(10)
          )
          const events = yield* eventsOf(
            cache,
            engine,
            Effect.gen(function*() {
              yield* get("/a")
              yield* cache.size
              yield* get("/a")
              yield* get("/no")
              yield* ask("/a", { method: "POST" })
            })
          )
          const of = <Tag extends HttpCache.CacheEvent["_tag"]>(tag: Tag) =>
            events.filter((event): event is Extract<HttpCache.CacheEvent, { readonly _tag: Tag }> => event._tag === tag)
          deepStrictEqual(
            of("Answered").map((
              { info, method, status, url }
            ) => [info.outcome, method, status, url.replace(base, "")]),
            [["miss", "GET", 200, "/a"], ["hit", "GET", 200, "/a"], ["miss", "GET", 200, "/no"], [
              "bypass",
              "POST",
              200,
              "/a"
            ]]
          )
          deepStrictEqual(of("Stored").map(({ bytes, url }) => [bytes, url]), [[4, `${base}/a`]])
          deepStrictEqual(of("NotStored").map(({ reason, url }) => [reason, url]), [[
            "response-no-store",
            `${base}/no`
          ]])
          deepStrictEqual(of("Invalidated").map(({ url }) => url), [`${base}/a`])
        })
      )

      test(
        "damage: a miss, an event, a metric, and stored anew",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const bodies = yield* storage.keyspace("http:bodies default")
          for (const body of ["small", "x".repeat(700_000)]) {
            const { cache, calls, get } = yield* cached(() => fresh(100, body))
            yield* get("/a")
            yield* cache.size
            const [row] = yield* bodyRows()
            yield* bodies.remove(row!.key)
            const events = yield* eventsOf(
              cache,
              engine,
              Effect.gen(function*() {
                const { info, text } = yield* get("/a")
                assert.isTrue(text === body)
                assert.strictEqual(info.outcome, "miss")
              })
            )
            assert.strictEqual(events.filter(({ _tag }) => _tag === "Damaged").length, 1)
            assert.strictEqual((yield* get("/a")).info.outcome, "hit")
            assert.strictEqual(calls(), 2)
            yield* cache.clear
          }
        })
      )

      test(
        "a row that is garbage is a miss",
        Effect.gen(function*() {
          const storage = yield* Storage.Storage
          const rows = yield* storage.keyspace("http default")
          const { cache, calls, get } = yield* cached(() => fresh(100))
          yield* get("/a")
          yield* cache.size
          const [entry] = yield* entriesOf(cache)
          yield* rows.set(entry!.key, "garbage")
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          assert.strictEqual(calls(), 2)
        })
      )
    })
  })
