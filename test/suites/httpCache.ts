/** What an HTTP cache does as the RFCs say: 9110, 9111, 5861, 8246, 9213, on any engine. */
import { assert, describe } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Effect, TestClock } from "effect"
import type { HttpCache } from "effect-kv"
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
  type Read,
  testOn,
  wait
} from "../httpCached.js"

const outcomes = (all: ReadonlyArray<Read>) => all.map(({ info }) => info.outcome)

/** An answer that is fresh for 10 seconds, and is validated by a tag. */
const tagged = (body: string, etag: string, more: Readonly<Record<string, string>> = {}): Answer =>
  fresh(10, body, { etag, ...more })

const notModified = (headers: Readonly<Record<string, string>> = {}): Answer => ({ headers, status: 304 })

export const suite = (engine: Engine) =>
  describeOn(engine, "HttpCache", () => {
    const test = testOn(engine)

    describe("hits and misses", () => {
      test(
        "asks once while it is fresh",
        Effect.gen(function*() {
          const { calls, get } = yield* cached((_, call) => fresh(10, `body ${call}`))
          const first = yield* get("/a")
          const second = yield* get("/a")
          yield* wait("9 seconds")
          const third = yield* get("/a")
          yield* wait("1 seconds")
          const fourth = yield* get("/a")
          deepStrictEqual([first, second, third, fourth].map(({ text }) => text), [
            "body 1",
            "body 1",
            "body 1",
            "body 2"
          ])
          deepStrictEqual(outcomes([first, second, third, fourth]), ["miss", "hit", "hit", "miss"])
          deepStrictEqual([first.info.forwarded, fourth.info.forwarded], ["uri-miss", "stale"])
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "tells Age, and leaves Date alone",
        Effect.gen(function*() {
          const { get } = yield* cached(() => fresh(100, "body", { age: "7", date: httpDate(0), "x-own": "1" }))
          assert.strictEqual((yield* get("/a")).headers["age"], "7")
          yield* wait("5 seconds")
          const hit = yield* get("/a")
          deepStrictEqual(
            [hit.headers["age"], hit.headers["date"], hit.headers["x-own"], hit.info.age, hit.info.timeToLive],
            ["12", httpDate(0), "1", 12_000, 88_000]
          )
          yield* wait("87 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          yield* wait("1 second")
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
        })
      )

      test(
        "counts the time that the response took, and how old its Date is",
        Effect.gen(function*() {
          const slow = yield* cached(() => Effect.as(wait("6 seconds"), fresh(10, "body", { date: httpDate(0) })))
          yield* slow.get("/a")
          assert.strictEqual((yield* slow.get("/a")).headers["age"], "6")
          const old = yield* cached(() => fresh(100, "body", { date: httpDate(-30) }), { name: "old" })
          yield* old.get("/a")
          assert.strictEqual((yield* old.get("/a")).headers["age"], "36")
        })
      )

      test(
        "Expires, also in the old forms, and what is none is the past",
        Effect.gen(function*() {
          const expires = (value: string) => ({ headers: { date: httpDate(0), expires: value } })
          const values: Record<string, [string, boolean]> = {
            "/asctime": ["Thu Jan  1 00:00:20 2026", true],
            "/bad": ["soon", false],
            "/imf": ["Thu, 01 Jan 2026 00:00:20 GMT", true],
            "/past": [httpDate(-1), false],
            "/rfc850": ["Thursday, 01-Jan-26 00:00:20 GMT", true],
            "/zero": ["0", false]
          }
          const { get } = yield* cached(({ url }) => expires(values[new URL(url).pathname]![0]))
          for (const [path, [, isFresh]] of Object.entries(values)) {
            yield* get(path)
            assert.strictEqual((yield* get(path)).info.outcome, isFresh ? "hit" : "miss", path)
          }
        })
      )

      test(
        "what may not be stored is not",
        Effect.gen(function*() {
          const answers: Record<string, Answer> = {
            "/304": { headers: { "cache-control": "max-age=10" }, status: 304 },
            "/no-store": { headers: { "cache-control": "No-Store, max-age=10" } },
            "/no-store-quoted": { headers: { "cache-control": "max-age=10, no-store=\"a\"" } },
            "/plain": {},
            "/plain-302": { headers: { location: "/" }, status: 302 },
            "/plain-500": { status: 500 },
            "/vary": { headers: { "cache-control": "max-age=10", vary: "accept, *" } }
          }
          const { cache, get } = yield* cached(({ url }) => answers[new URL(url).pathname]!)
          for (const path of Object.keys(answers).filter((path) => path !== "/plain")) {
            yield* get(path)
            const second = yield* get(path)
            assert.strictEqual(second.info.outcome, "miss", path)
            assert.isFalse(second.info.stored, path)
          }
          assert.strictEqual(yield* cache.size, 0)
          yield* get("/plain")
          assert.strictEqual((yield* get("/plain")).info.outcome, "miss")
        })
      )

      test(
        "any final status that says for how long",
        Effect.gen(function*() {
          const { get } = yield* cached(({ url }) => ({
            headers: { "cache-control": "max-age=10" },
            status: Number(new URL(url).pathname.slice(1))
          }))
          for (
            const status of [
              200,
              201,
              203,
              204,
              299,
              300,
              301,
              302,
              307,
              308,
              400,
              401,
              403,
              404,
              410,
              418,
              451,
              500,
              503,
              599
            ]
          ) {
            yield* get(`/${status}`)
            const second = yield* get(`/${status}`)
            deepStrictEqual([second.info.outcome, second.status], ["hit", status])
          }
        })
      )

      test(
        "heuristics: a tenth of the time since it was modified, at most a week, with a switch and a cap",
        Effect.gen(function*() {
          const answer = (seconds: number, status = 200) => ({
            headers: { date: new Date(Date.parse(httpDate(0))).toUTCString(), "last-modified": httpDate(-seconds) },
            status
          })
          const { get } = yield* cached(({ url }) =>
            url.endsWith("/302") ? answer(1000, 302) : answer(url.endsWith("old") ? 10_000_000_000 / 1000 * 100 : 1000)
          )
          for (const path of ["/a", "/302", "/old"]) yield* get(path)
          yield* wait("99 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          assert.strictEqual((yield* get("/302")).info.outcome, "miss")
          yield* wait("1 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
          const off = yield* cached(() => answer(1000), { heuristics: false, name: "off" })
          yield* off.get("/a")
          assert.strictEqual((yield* off.get("/a")).info.outcome, "miss")
        })
      )

      test(
        "heuristics have a cap",
        Effect.gen(function*() {
          const answer = () => ({ headers: { date: httpDate(0), "last-modified": httpDate(-1_000_000_000) } })
          const { get } = yield* cached(answer)
          const capped = yield* cached(answer, { heuristics: { atMost: "10 seconds", fraction: 0.5 }, name: "capped" })
          yield* get("/a")
          yield* capped.get("/a")
          yield* wait("9 seconds")
          assert.strictEqual((yield* capped.get("/a")).info.outcome, "hit")
          yield* wait("1 seconds")
          assert.strictEqual((yield* capped.get("/a")).info.outcome, "miss")
          yield* wait("6 days")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          yield* wait("1 day")
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
        })
      )

      test(
        "targeted fields stand for Cache-Control: RFC 9213",
        Effect.gen(function*() {
          const { get } = yield* cached(({ url }) => ({
            headers: {
              "/a": { "cache-control": "no-store", "my-cache-control": "max-age=10" },
              "/bad": { "cache-control": "max-age=10", "my-cache-control": "max-age=\"" },
              "/first": { "my-cache-control": "no-store", "other-cache-control": "max-age=10" },
              "/only": { "cache-control": "max-age=10", "my-cache-control": "no-store" }
            }[new URL(url).pathname] ?? {}
          }), { targets: ["My-Cache-Control", "Other-Cache-Control"] })
          for (
            const [path, outcome] of [["/a", "hit"], ["/bad", "hit"], ["/first", "miss"], ["/only", "miss"]] as const
          ) {
            yield* get(path)
            assert.strictEqual((yield* get(path)).info.outcome, outcome, path)
          }
        })
      )

      test(
        "keeps all cookies",
        Effect.gen(function*() {
          const { get } = yield* cached(() => ({
            ...fresh(10),
            cookies: ["a=1; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2; HttpOnly", "c=x%20y"]
          }))
          const first = yield* get("/a")
          const hit = yield* get("/a")
          assert.strictEqual(hit.info.outcome, "hit")
          assert.strictEqual(first.cookies.length, 3)
          deepStrictEqual(hit.cookies, first.cookies)
        })
      )

      test(
        "URLs that mean the same are the same; others are not",
        Effect.gen(function*() {
          const { calls, get } = yield* cached((_, call) => fresh(10, String(call)))
          for (const path of ["/a%7Eb?x=%41", "/a~b?x=A", "/c/../a~b?x=A", "HTTPS://API.example.com:443/a~b?x=A#f"]) {
            assert.strictEqual((yield* get(path)).text, "1", path)
          }
          for (
            const path of ["/a~b?x=a", "/a~b", "/a~b?", "/a~b/?x=A", "/a%2Fb", "/a/b", "http://api.example.com/a~b?x=A"]
          ) {
            assert.notStrictEqual((yield* get(path)).text, "1", path)
          }
          assert.isAtLeast(calls(), 7)
        })
      )

      test(
        "URLs of any length",
        Effect.gen(function*() {
          const { cache, get } = yield* cached((_, call) => fresh(10, String(call)))
          for (const length of [700, 790, 800, 810, 900, 2000, 8000]) {
            for (const headers of [{}]) {
              const path = `/${"x".repeat(length)}`
              yield* get(path, headers)
              assert.strictEqual(
                (yield* get(path, headers)).info.outcome,
                "hit",
                `${length} ${JSON.stringify(headers)}`
              )
            }
            const [one, other] = [`/${"x".repeat(length)}1`, `/${"x".repeat(length)}2`]
            yield* get(one)
            assert.strictEqual((yield* get(other)).info.outcome, "miss")
            assert.isTrue(yield* cache.delete(base + one))
            assert.isTrue(yield* cache.has(base + other))
          }
        })
      )

      test(
        "the clock may go backwards",
        Effect.gen(function*() {
          const { get } = yield* cached(() => fresh(10, "body", { date: httpDate(0) }))
          yield* wait("1 hour")
          yield* get("/a")
          yield* TestClock.setTime(Date.parse(httpDate(-100)))
          const again = yield* get("/a")
          assert.strictEqual(again.text, "body")
          assert.isAtLeast(Number(again.headers["age"] ?? 0), 0)
        })
      )

      test(
        "any header value whatsoever",
        Effect.gen(function*() {
          const values = [
            "",
            ",",
            "\"",
            "=",
            ";;;",
            "max-age=",
            "max-age=-1",
            "max-age=1e9",
            "\u00ff\u00fe",
            "a".repeat(70_000),
            "max-age=\"10\"",
            "(",
            "*",
            "W/",
            "-1",
            "99999999999999999999"
          ]
          const names = [
            "cache-control",
            "expires",
            "age",
            "date",
            "vary",
            "etag",
            "last-modified",
            "content-range",
            "cache-groups",
            "no-vary-search",
            "pragma",
            "surrogate-key",
            "cache-tag",
            "my-target",
            "set-cookie"
          ]
          const { get } = yield* cached(({ url }) => {
            const { searchParams } = new URL(url)
            return {
              body: "body",
              headers: {
                "cache-control": "max-age=10",
                [names[Number(searchParams.get("name"))]!]: values[Number(searchParams.get("value"))]!
              }
            }
          }, { tagHeaders: ["Surrogate-Key", "Cache-Tag"], targets: ["my-target"] })
          for (const name of names.keys()) {
            for (const value of values.keys()) {
              const path = `/?name=${name}&value=${value}`
              assert.strictEqual((yield* get(path)).text, "body")
              assert.strictEqual((yield* get(path)).text, "body")
            }
          }
        })
      )

      test(
        "any value of a request's headers",
        Effect.gen(function*() {
          const { get } = yield* cached(() => fresh(10, "body", { vary: "accept, accept-encoding" }))
          const values = [
            "",
            ",",
            "\"",
            "bytes=",
            "bytes=-",
            "bytes=5-1",
            "bytes=a-b",
            "max-age=x",
            "max-stale=\"",
            "\u00ff",
            "W/",
            "*"
          ]
          for (
            const name of [
              "cache-control",
              "pragma",
              "range",
              "if-range",
              "if-none-match",
              "if-modified-since",
              "accept",
              "authorization"
            ]
          ) {
            for (const value of values) {
              const { status, text } = yield* get("/a", { [name]: value })
              assert.isTrue(text === "body" || (status !== 200 && text === ""), `${name}: ${value}: ${status} ${text}`)
            }
          }
        })
      )
    })

    describe("validates", () => {
      test(
        "with what is stored, and a 304 freshens it",
        Effect.gen(function*() {
          const { cache, get, seen } = yield* cached((_, call) =>
            call === 1
              ? tagged("body", "\"1\"", { "last-modified": httpDate(-1000), "x-a": "old", "x-b": "kept" })
              : notModified({ "cache-control": "max-age=20", etag: "\"1\"", "x-a": "new", "x-c": "added" })
          )
          yield* get("/a")
          // Until it is stored.
          yield* cache.size
          const rows = yield* bodyRows()
          yield* wait("15 seconds")
          const second = yield* get("/a")
          deepStrictEqual(seen[1]?.headers["if-none-match"], "\"1\"")
          deepStrictEqual(seen[1]?.headers["if-modified-since"], httpDate(-1000))
          deepStrictEqual([second.status, second.text, second.info.outcome, second.info.forwarded], [
            200,
            "body",
            "revalidated",
            "stale"
          ])
          for (const { headers } of [second, yield* get("/a")]) {
            deepStrictEqual([headers["x-a"], headers["x-b"], headers["x-c"]], ["new", "kept", "added"])
          }
          yield* wait("19 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          deepStrictEqual(yield* bodyRows(), rows)
          assert.strictEqual(seen.length, 2)
        })
      )

      test(
        "never rewrites the body, however large it is",
        Effect.gen(function*() {
          const body = "x".repeat(700_000)
          const { cache, get } = yield* cached((_, call) =>
            call === 1 ? tagged(body, "\"1\"") : notModified({ etag: "\"1\"" })
          )
          yield* get("/a")
          // Until it is stored.
          yield* cache.size
          const rows = yield* bodyRows()
          assert.strictEqual(rows.length, 3)
          for (let i = 0; i < 3; i++) {
            yield* wait("11 seconds")
            const again = yield* get("/a")
            assert.strictEqual(again.info.outcome, "revalidated")
            assert.strictEqual(again.text, body)
          }
          deepStrictEqual(yield* bodyRows(), rows)
        })
      )

      test(
        "a 304 does not change what tells of the body",
        Effect.gen(function*() {
          const { get } = yield* cached((_, call) =>
            call === 1
              ? tagged("body", "\"1\"", { "content-length": "4", "content-type": "text/plain" })
              : notModified({
                "content-encoding": "gzip",
                "content-length": "99",
                "content-range": "bytes 0-1/9",
                etag: "\"1\""
              })
          )
          yield* get("/a")
          yield* wait("11 seconds")
          const { headers, text } = yield* get("/a")
          deepStrictEqual(
            [
              text,
              headers["content-length"],
              headers["content-encoding"],
              headers["content-range"],
              headers["content-type"]
            ],
            ["body", "4", undefined, undefined, "text/plain"]
          )
        })
      )

      test(
        "with the validators of all that is stored",
        Effect.gen(function*() {
          const { get, seen } = yield* cached(({ headers }, call) => {
            const known = headers["if-none-match"] ?? ""
            const etag = headers["accept"] === "c" ? "\"a\"" : `"${headers["accept"]}"`
            return known.includes(etag)
              ? notModified({ etag, vary: "Accept" })
              : tagged(`for ${headers["accept"]} by ${call}`, etag, { vary: "Accept" })
          })
          yield* get("/a", { accept: "a" })
          yield* get("/a", { accept: "b" })
          yield* wait("11 seconds")
          const again = yield* get("/a", { accept: "a" })
          assert.strictEqual(again.text, "for a by 1")
          const sent = (value: string | undefined) => (value ?? "").split(/, */).sort()
          deepStrictEqual(sent(seen.at(-1)?.headers["if-none-match"]), ["\"a\"", "\"b\""])
          const other = yield* get("/a", { accept: "c" })
          deepStrictEqual(sent(seen.at(-1)?.headers["if-none-match"]), ["\"a\"", "\"b\""])
          deepStrictEqual([other.text, other.info.outcome, other.status], ["for a by 1", "revalidated", 200])
        })
      )

      test(
        "another answer takes the place of what was stored",
        Effect.gen(function*() {
          const { calls, get } = yield* cached((_, call) => tagged(`body ${call}`, `"${call}"`))
          yield* get("/a")
          yield* wait("11 seconds")
          assert.strictEqual((yield* get("/a")).text, "body 2")
          assert.strictEqual((yield* get("/a")).text, "body 2")
          assert.strictEqual(calls(), 2)
          assert.strictEqual((yield* bodyRows()).length, 1)
        })
      )

      test(
        "no-cache, and by Last-Modified alone",
        Effect.gen(function*() {
          const { get, seen } = yield* cached((_, call) =>
            call === 1
              ? {
                body: "body",
                headers: { "cache-control": "no-cache, max-age=100", "last-modified": httpDate(-1000) }
              }
              : notModified()
          )
          yield* get("/a")
          const second = yield* get("/a")
          deepStrictEqual([second.text, second.info.outcome], ["body", "revalidated"])
          deepStrictEqual(
            [seen[1]?.headers["if-modified-since"], seen[1]?.headers["if-none-match"]],
            [httpDate(-1000), undefined]
          )
        })
      )

      test(
        "a 304 that says that it is not to be stored any more",
        Effect.gen(function*() {
          const { get } = yield* cached((_, call) =>
            call === 1
              ? tagged("body", "\"1\"")
              : call === 2
              ? notModified({ "cache-control": "no-store", etag: "\"1\"" })
              : { body: "other" }
          )
          yield* get("/a")
          yield* wait("11 seconds")
          assert.strictEqual((yield* get("/a")).text, "body")
          assert.strictEqual((yield* get("/a")).text, "other")
        })
      )

      test(
        "a 304 about something else: asks for all of it",
        Effect.gen(function*() {
          const { get, seen } = yield* cached(({ headers }, call) =>
            call <= 2
              ? tagged(`for ${headers["accept"]}`, `"${call}"`, { vary: "accept" })
              : call === 3
              ? notModified({ etag: "\"unknown\"" })
              : { body: "whole" }
          )
          yield* get("/a", { accept: "a" })
          yield* get("/a", { accept: "b" })
          yield* wait("11 seconds")
          const answer = yield* get("/a", { accept: "a" })
          deepStrictEqual([answer.status, answer.text], [200, "whole"])
          assert.isUndefined(seen[3]?.headers["if-none-match"])
        })
      )
    })

    describe("conditions of the client", () => {
      test(
        "are answered from what is stored",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(() =>
            fresh(100, "body", {
              "content-type": "text/plain",
              date: httpDate(0),
              etag: "\"1\"",
              "last-modified": httpDate(-1000),
              "x-own": "1"
            })
          )
          yield* get("/a")
          const known: ReadonlyArray<Readonly<Record<string, string>>> = [
            { "if-none-match": "\"1\"" },
            { "if-none-match": "W/\"1\"" },
            { "if-none-match": "\"0\", \"1\"" },
            { "if-none-match": "*" },
            { "if-modified-since": httpDate(-1000) },
            { "if-modified-since": httpDate(-10) },
            { "if-modified-since": httpDate(-5000), "if-none-match": "\"1\"" }
          ]
          for (const headers of known) {
            const { headers: fields, info, status, text } = yield* get("/a", headers)
            deepStrictEqual([status, text, info.outcome], [304, "", "hit"], JSON.stringify(headers))
            deepStrictEqual([fields["etag"], fields["date"], fields["cache-control"]], [
              "\"1\"",
              httpDate(0),
              "max-age=100"
            ])
          }
          const unknown: ReadonlyArray<Readonly<Record<string, string>>> = [
            { "if-none-match": "\"2\"" },
            { "if-modified-since": httpDate(-5000) },
            { "if-modified-since": httpDate(-10), "if-none-match": "\"2\"" },
            { "if-modified-since": "yesterday" }
          ]
          for (const headers of unknown) {
            const { status, text } = yield* get("/a", headers)
            deepStrictEqual([status, text], [200, "body"], JSON.stringify(headers))
          }
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "go to the origin if there is nothing, and its 304 is the client's",
        Effect.gen(function*() {
          const { cache, get, seen } = yield* cached(() => notModified({ etag: "\"1\"" }))
          const { status } = yield* get("/a", { "if-none-match": "\"1\"" })
          assert.strictEqual(status, 304)
          assert.strictEqual(seen[0]?.headers["if-none-match"], "\"1\"")
          assert.strictEqual(yield* cache.size, 0)
        })
      )

      test(
        "when what is stored is stale, with its validators beside the client's",
        Effect.gen(function*() {
          const { get, seen } = yield* cached(({ headers }, call) =>
            call === 1
              ? tagged("body", "\"1\"")
              : notModified({ etag: headers["if-none-match"]?.includes("\"1\"") === true ? "\"1\"" : "\"2\"" })
          )
          yield* get("/a")
          yield* wait("11 seconds")
          const same = yield* get("/a", { "if-none-match": "\"1\"" })
          assert.strictEqual(same.status, 304)
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
          yield* wait("11 seconds")
          const other = yield* get("/a", { "if-none-match": "\"2\"" })
          assert.isTrue(seen[2]?.headers["if-none-match"]?.includes("\"1\""))
          deepStrictEqual([other.status, other.text], [200, "body"])
        })
      )

      test(
        "that only the origin can judge go to it",
        Effect.gen(function*() {
          const { get, seen } = yield* cached(() => fresh(100))
          yield* get("/a")
          for (const headers of [{ "if-match": "\"1\"" }, { "if-unmodified-since": httpDate(0) }]) {
            assert.strictEqual((yield* get("/a", headers)).info.outcome, "bypass")
          }
          assert.strictEqual(seen.length, 3)
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
        })
      )
    })

    describe("HEAD", () => {
      test(
        "is answered from a GET",
        Effect.gen(function*() {
          const { ask, calls, get } = yield* cached(() => fresh(10, "body", { "content-length": "4" }))
          yield* get("/a")
          const { headers, info, status, text } = yield* ask("/a", { method: "HEAD" })
          deepStrictEqual([info.outcome, status, text, headers["content-length"]], ["hit", 200, "", "4"])
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "is stored, and never answers a GET",
        Effect.gen(function*() {
          const { ask, calls, get } = yield* cached(() => fresh(10))
          yield* ask("/a", { method: "HEAD" })
          assert.strictEqual((yield* ask("/a", { method: "HEAD" })).info.outcome, "hit")
          const { info, text } = yield* get("/a")
          deepStrictEqual([info.outcome, text], ["miss", "body"])
          assert.strictEqual((yield* get("/a")).text, "body")
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "freshens a GET that is the same, and invalidates one that is not",
        Effect.gen(function*() {
          let etag = "\"1\""
          const { ask, get } = yield* cached(({ method }) =>
            fresh(10, "body", { etag, ...(method === "HEAD" ? { "x-head": "1" } : {}) })
          )
          yield* get("/a")
          yield* wait("11 seconds")
          yield* ask("/a", { method: "HEAD" })
          const hit = yield* get("/a")
          deepStrictEqual([hit.info.outcome, hit.text, hit.headers["x-head"]], ["hit", "body", "1"])
          yield* wait("11 seconds")
          etag = "\"2\""
          yield* ask("/a", { method: "HEAD" })
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
        })
      )

      test(
        "of another length invalidates",
        Effect.gen(function*() {
          const { ask, get } = yield* cached(({ method }) =>
            fresh(10, "body", { "content-length": method === "HEAD" ? "5" : "4" })
          )
          yield* get("/a")
          yield* wait("11 seconds")
          yield* ask("/a", { method: "HEAD" })
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
        })
      )
    })

    describe("ranges", () => {
      const letters = "abcdefghijklmnopqrstuvwxyz"

      test(
        "out of a stored 200",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(() => fresh(100, letters, { "accept-ranges": "bytes", etag: "\"1\"" }))
          yield* get("/a")
          const cases: ReadonlyArray<[string, string, string]> = [
            ["bytes=0-0", "a", "bytes 0-0/26"],
            ["bytes=2-4", "cde", "bytes 2-4/26"],
            ["bytes=20-", "uvwxyz", "bytes 20-25/26"],
            ["bytes=-3", "xyz", "bytes 23-25/26"],
            ["bytes=24-100", "yz", "bytes 24-25/26"],
            ["bytes=-100", letters, "bytes 0-25/26"],
            ["BYTES=1-1", "b", "bytes 1-1/26"]
          ]
          for (const [range, text, contentRange] of cases) {
            const part = yield* get("/a", { range })
            deepStrictEqual(
              [
                part.status,
                part.text,
                part.headers["content-range"],
                part.headers["content-length"],
                part.info.outcome
              ],
              [206, text, contentRange, String(text.length), "hit"],
              range
            )
          }
          for (const range of ["bytes=26-", "bytes=100-200", "bytes=-0"]) {
            const { headers, status, text } = yield* get("/a", { range })
            deepStrictEqual([status, headers["content-range"], text], [416, "bytes */26", ""], range)
          }
          for (const range of ["bytes=5-1", "lines=1-2", "bytes=a", "nonsense"]) {
            const { status, text } = yield* get("/a", { range })
            deepStrictEqual([status, text], [200, letters], range)
          }
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "across the pieces of a large body",
        Effect.gen(function*() {
          const body = Array.from({ length: 100_000 }, (_, i) => String(i).padStart(7, "0")).join("")
          const { calls, get } = yield* cached(() => fresh(100, body))
          yield* get("/a")
          for (
            const [first, last] of [[262_140, 262_150], [0, 699_999], [524_287, 524_288], [699_999, 699_999]] as const
          ) {
            const { status, text } = yield* get("/a", { range: `bytes=${first}-${last}` })
            assert.strictEqual(status, 206)
            assert.isTrue(text === body.slice(first, last + 1), `${first}-${last}`)
          }
          assert.strictEqual(calls(), 1)
        })
      )

      test(
        "If-Range holds only for the very same",
        Effect.gen(function*() {
          const { get } = yield* cached(({ url }) =>
            fresh(100, letters, { etag: url.endsWith("weak") ? "W/\"1\"" : "\"1\"", "last-modified": httpDate(-1000) })
          )
          yield* get("/a")
          yield* get("/weak")
          const cases: ReadonlyArray<[string, string, number]> = [
            ["/a", "\"1\"", 206],
            ["/a", "\"2\"", 200],
            ["/a", "W/\"1\"", 200],
            ["/weak", "W/\"1\"", 200],
            ["/a", httpDate(-2000), 200],
            ["/a", httpDate(-10), 200]
          ]
          for (const [path, ifRange, status] of cases) {
            const answer = yield* get(path, { "if-range": ifRange, range: "bytes=0-2" })
            deepStrictEqual(
              [answer.status, answer.text],
              [status, status === 206 ? "abc" : letters],
              `${path} ${ifRange}`
            )
          }
        })
      )

      test(
        "a 206 is stored and used for what is in it, and never for the whole",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(({ headers }) => {
            const [, first, last] = /bytes=(\d+)-(\d+)/.exec(headers["range"] ?? "") ?? []
            return first === undefined ? fresh(100, letters, { etag: "\"1\"" }) : {
              body: letters.slice(Number(first), Number(last) + 1),
              headers: { "cache-control": "max-age=100", "content-range": `bytes ${first}-${last}/26`, etag: "\"1\"" },
              status: 206
            }
          })
          const first = yield* get("/a", { range: "bytes=3-10" })
          deepStrictEqual([first.status, first.text], [206, "defghijk"])
          const same = yield* get("/a", { range: "bytes=3-10" })
          deepStrictEqual([same.status, same.text, same.info.outcome, same.headers["content-range"]], [
            206,
            "defghijk",
            "hit",
            "bytes 3-10/26"
          ])
          assert.strictEqual(calls(), 1)
          const part = yield* get("/a", { range: "bytes=4-6" })
          deepStrictEqual([part.status, part.text, part.headers["content-range"]], [206, "efg", "bytes 4-6/26"])
          assert.strictEqual(calls(), 1)
          assert.strictEqual((yield* get("/a", { range: "bytes=9-12" })).text, "jklm")
          const whole = yield* get("/a")
          deepStrictEqual([whole.status, whole.text], [200, letters])
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "a stale 200 is validated first",
        Effect.gen(function*() {
          const { get, seen } = yield* cached((_, call) =>
            call === 1 ? tagged(letters, "\"1\"") : notModified({ etag: "\"1\"" })
          )
          yield* get("/a")
          yield* wait("11 seconds")
          const { info, status, text } = yield* get("/a", { range: "bytes=1-2" })
          deepStrictEqual([info.outcome, status, text], ["revalidated", 206, "bc"])
          assert.strictEqual(seen.length, 2)
        })
      )

      test(
        "a 416 of the origin is not stored, and leaves what is stored alone",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(({ headers }) =>
            headers["range"] === undefined
              ? fresh(100, letters)
              : { headers: { "cache-control": "max-age=100", "content-range": "bytes */26" }, status: 416 }
          )
          assert.strictEqual((yield* get("/a", { range: "bytes=99-" })).status, 416)
          assert.strictEqual(yield* cache.size, 0)
          assert.strictEqual((yield* get("/a")).text, letters)
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
        })
      )
    })

    describe("unsafe methods", () => {
      test(
        "invalidate their URL, Location and Content-Location of the same origin, after 2xx and 3xx only",
        Effect.gen(function*() {
          let answer: Answer = {}
          const { ask, cache, get } = yield* cached(({ method }) => method === "GET" ? fresh(100) : answer)
          const other = "https://other.example.com/"
          const paths = ["/a", "/b", "/c", `${other}b`, `${other}c`]
          const has = (path: string) => cache.has(path.startsWith("/") ? base + path : path)
          for (const method of ["POST", "PUT", "DELETE", "PATCH", "FROBNICATE"]) {
            for (const status of [200, 201, 204, 303, 400, 404, 500]) {
              for (const path of paths) yield* get(path)
              // Until all is stored.
              yield* cache.size
              answer = { headers: { "content-location": `${base}/c`, location: "/b" }, status }
              yield* ask("/a", { method })
              const gone = status < 400
              deepStrictEqual(
                yield* Effect.forEach(paths, has),
                [!gone, !gone, !gone, true, true],
                `${method} ${status}`
              )
            }
          }
          for (const path of paths) yield* get(path)
          yield* cache.size
          answer = { headers: { "content-location": `${other}c`, location: `${other}b` }, status: 201 }
          yield* ask("/a", { method: "POST" })
          deepStrictEqual(yield* Effect.forEach(paths, has), [false, true, true, true, true])
        })
      )

      test(
        "all variants and partitions of it, and not others",
        Effect.gen(function*() {
          const { ask, cache, get } = yield* cached(({ method }) =>
            method === "GET" ? fresh(100, "body", { vary: "accept" }) : {}
          )
          for (const accept of ["a", "b"]) yield* get("/a", { accept })
          yield* get("/a", { authorization: "Bearer x" })
          yield* get("/a?x=1")
          yield* get("/ab")
          yield* cache.size
          yield* ask("/a", { method: "PUT" })
          for (const accept of ["a", "b"]) assert.strictEqual((yield* get("/a", { accept })).info.outcome, "miss")
          assert.strictEqual((yield* get("/a", { authorization: "Bearer x" })).info.outcome, "miss")
          assert.isTrue(yield* cache.has(`${base}/a?x=1`))
          assert.isTrue(yield* cache.has(`${base}/ab`))
        })
      )

      test(
        "safe ones do not",
        Effect.gen(function*() {
          const { ask, cache, get } = yield* cached(() => fresh(100))
          yield* get("/a")
          for (const method of ["OPTIONS", "HEAD", "TRACE"]) yield* ask("/a", { method })
          assert.isTrue(yield* cache.has(`${base}/a`))
        })
      )

      test(
        "a POST with Content-Location of its own URL is the answer to a GET",
        Effect.gen(function*() {
          const { ask, calls, get } = yield* cached(({ body }) =>
            fresh(10, `posted ${body}`, { "content-location": "/a" })
          )
          assert.strictEqual((yield* ask("/a", { body: "x", method: "POST" })).text, "posted x")
          const hit = yield* get("/a")
          deepStrictEqual([hit.info.outcome, hit.text], ["hit", "posted x"])
          yield* ask("/b", { body: "y", method: "POST" })
          yield* get("/b")
          yield* ask("/a", { body: "z", method: "POST" })
          assert.strictEqual((yield* get("/a")).text, "posted z")
          assert.strictEqual(calls(), 4)
        })
      )

      test(
        "a POST that does not say for how long is not",
        Effect.gen(function*() {
          const { ask, get } = yield* cached(() => ({
            headers: { "content-location": "/a", "last-modified": httpDate(-10_000) }
          }))
          yield* ask("/a", { body: "x", method: "POST" })
          assert.strictEqual((yield* get("/a")).info.outcome, "miss")
        })
      )
    })

    describe("what the request says", () => {
      const directive = (
        headers: Readonly<Record<string, string>>,
        after: number,
        answer: Answer = fresh(10, "body")
      ) =>
        Effect.gen(function*() {
          const { cache, calls, get } = yield* cached(() => answer, { name: JSON.stringify([headers, after, answer]) })
          yield* get("/a")
          yield* wait(after * 1000)
          const again = yield* get("/a", headers)
          return { again, asked: calls() > 1, cache }
        })

      test(
        "max-age, min-fresh, max-stale, no-cache, no-store and Pragma",
        Effect.gen(function*() {
          const cases: ReadonlyArray<[string, number, boolean]> = [
            ["max-age=5", 5, false],
            ["max-age=5", 6, true],
            ["max-age=0", 1, true],
            ["MAX-AGE=5", 6, true],
            ["min-fresh=5", 4, false],
            ["min-fresh=5", 6, true],
            ["max-stale", 1000, false],
            ["max-stale=5", 15, false],
            ["max-stale=5", 16, true],
            ["max-stale=5, max-age=12", 14, true],
            ["no-cache", 1, true],
            ["no-store", 1, true],
            ["foo=bar, no-cache", 1, true],
            ["unknown", 1, false]
          ]
          for (const [value, after, asks] of cases) {
            const { again, asked } = yield* directive({ "cache-control": value }, after)
            assert.strictEqual(asked, asks, `${value} after ${after}`)
            if (value.startsWith("max-stale") && !asks) assert.strictEqual(again.info.outcome, "stale")
          }
          assert.isTrue((yield* directive({ pragma: "no-cache" }, 1)).asked)
          assert.isFalse((yield* directive({ "cache-control": "max-age=100", pragma: "no-cache" }, 1)).asked)
        })
      )

      test(
        "max-stale does not help against must-revalidate and no-cache",
        Effect.gen(function*() {
          for (const value of ["max-age=10, must-revalidate", "max-age=10, no-cache", "max-age=10, Must-Revalidate"]) {
            const { asked } = yield* directive({ "cache-control": "max-stale" }, 11, {
              body: "body",
              headers: { "cache-control": value }
            })
            assert.isTrue(asked, value)
            yield* wait(1)
          }
        })
      )

      test(
        "no-store stores nothing, and leaves what is stored",
        Effect.gen(function*() {
          const { cache, get } = yield* cached((_, call) => fresh(100, String(call)))
          yield* get("/a", { "cache-control": "no-store" })
          assert.strictEqual(yield* cache.size, 0)
          yield* get("/a")
          assert.strictEqual((yield* get("/a", { "cache-control": "no-store" })).text, "3")
          assert.strictEqual((yield* get("/a")).text, "2")
        })
      )

      test(
        "immutable is not validated by a reload while it is fresh",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(() => ({
            headers: { "cache-control": "max-age=10, immutable", etag: "\"1\"" }
          }))
          yield* get("/a")
          yield* wait("5 seconds")
          yield* get("/a", { "cache-control": "max-age=0" })
          assert.strictEqual(calls(), 1)
          yield* get("/a", { "cache-control": "no-cache" })
          assert.strictEqual(calls(), 2)
          yield* wait("11 seconds")
          yield* get("/a", { "cache-control": "max-age=0" })
          assert.strictEqual(calls(), 3)
        })
      )

      test(
        "only-if-cached is answered from the cache, or by 504",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(() => fresh(10))
          const only = { "cache-control": "only-if-cached" }
          assert.strictEqual((yield* get("/a", only)).status, 504)
          assert.strictEqual(calls(), 0)
          yield* get("/a")
          deepStrictEqual((yield* get("/a", only)).status, 200)
          yield* wait("11 seconds")
          assert.strictEqual((yield* get("/a", only)).status, 504)
          assert.strictEqual((yield* get("/a", { "cache-control": "only-if-cached, max-stale" })).status, 200)
          assert.strictEqual(calls(), 1)
        })
      )
    })

    describe("stale-while-revalidate", () => {
      const swr = (call: number): Answer => ({
        body: `body ${call}`,
        headers: { "cache-control": "max-age=10, stale-while-revalidate=20", etag: `"${call}"` }
      })

      test(
        "a 304 in the background freshens",
        Effect.gen(function*() {
          const { calls, get } = yield* cached((_, call) => call === 1 ? swr(1) : notModified({ etag: "\"1\"" }))
          yield* get("/a")
          yield* wait("15 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "stale")
          yield* engine.turns
          const hit = yield* get("/a")
          deepStrictEqual([hit.info.outcome, hit.text, calls()], ["hit", "body 1", 2])
        })
      )

      test(
        "not for longer than it says",
        Effect.gen(function*() {
          const { get } = yield* cached((_, call) => swr(call))
          yield* get("/a")
          yield* wait("30 seconds")
          const { info, text } = yield* get("/a")
          deepStrictEqual([info.outcome, text], ["miss", "body 2"])
        })
      )

      test(
        "by option, where the response does not tell; not with must-revalidate",
        Effect.gen(function*() {
          const { get } = yield* cached(
            ({ url }, call) =>
              url.endsWith("must")
                ? { body: String(call), headers: { "cache-control": "max-age=10, must-revalidate" } }
                : fresh(10, String(call)),
            { staleWhileRevalidate: "10 seconds" }
          )
          for (const path of ["/a", "/must"]) yield* get(path)
          yield* wait("19 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "stale")
          assert.strictEqual((yield* get("/must")).info.outcome, "miss")
        })
      )

      test(
        "a failure in the background is told, and the next one tries again",
        Effect.gen(function*() {
          let up = false
          const { cache, get } = yield* cached((_, call) => call === 1 || up ? swr(call) : Effect.fail("refused"))
          yield* get("/a")
          yield* wait("15 seconds")
          const events = yield* eventsOf(
            cache,
            engine,
            Effect.gen(function*() {
              assert.strictEqual((yield* get("/a")).info.outcome, "stale")
              yield* engine.turns
            })
          )
          assert.strictEqual(events.filter(({ _tag }) => _tag === "RevalidationFailed").length, 1)
          up = true
          assert.strictEqual((yield* get("/a")).text, "body 1")
          yield* engine.turns
          assert.strictEqual((yield* get("/a")).text, "body 3")
        })
      )
    })

    describe("stale-if-error", () => {
      /** What is told of the second request. */
      const failing = (first: Answer, second: Answer | "refused", options: HttpCache.Options = {}, after = 15) =>
        Effect.gen(function*() {
          const { get } = yield* cached(
            (_, call) => call === 1 ? first : second === "refused" ? Effect.fail(second) : second,
            { ...options, name: JSON.stringify([first, second, options, after]) }
          )
          yield* get("/a")
          yield* wait(after * 1000)
          return yield* Effect.either(get("/a"))
        })
      const outcomeOf = (first: Answer, second: Answer | "refused", options?: HttpCache.Options, after?: number) =>
        Effect.map(
          failing(first, second, options, after),
          (result) => result._tag === "Left" ? "failed" : `${result.right.status} ${result.right.info.outcome}`
        )
      const answer = (control: string): Answer => ({ body: "body", headers: { "cache-control": control } })

      test(
        "5xx",
        Effect.gen(function*() {
          for (const status of [500, 502, 503, 504]) {
            assert.strictEqual(yield* outcomeOf(answer("max-age=10, stale-if-error=60"), { status }), "200 stale")
            assert.strictEqual(yield* outcomeOf(answer("max-age=10"), { status }), `${status} miss`)
            assert.strictEqual(
              yield* outcomeOf(answer("max-age=10"), { status }, { staleIfError: "1 minute" }),
              "200 stale"
            )
            assert.strictEqual(
              yield* outcomeOf(answer("max-age=10, stale-if-error=60"), { status }, {}, 70),
              `${status} miss`
            )
          }
          assert.strictEqual(yield* outcomeOf(answer("max-age=10, stale-if-error=60"), { status: 404 }), "404 miss")
        })
      )

      test(
        "connections that cannot be had",
        Effect.gen(function*() {
          assert.strictEqual(yield* outcomeOf(answer("max-age=10"), "refused"), "200 stale")
          assert.strictEqual(yield* outcomeOf(answer("max-age=10"), "refused", {}, 90_000), "failed")
          assert.strictEqual(yield* outcomeOf(answer("max-age=10"), "refused", { staleIfDisconnected: 0 }), "failed")
          assert.strictEqual(
            yield* outcomeOf(answer("max-age=10, stale-if-error=60"), "refused", { staleIfDisconnected: 0 }),
            "200 stale"
          )
        })
      )

      test(
        "never with must-revalidate or no-cache",
        Effect.gen(function*() {
          for (const strict of ["must-revalidate", "no-cache", "no-cache, must-revalidate"]) {
            const first = answer(`max-age=10, stale-if-error=60, ${strict}`)
            for (const options of [{}, { staleIfDisconnected: "1 day", staleIfError: "1 day" }] as const) {
              assert.strictEqual(yield* outcomeOf(first, { status: 503 }, options), "503 miss", strict)
              assert.strictEqual(yield* outcomeOf(first, "refused", options), "failed", strict)
            }
          }
        })
      )

      test(
        "the error does not take the place of what is stored",
        Effect.gen(function*() {
          let status = 200
          const { get } = yield* cached(() => ({ ...answer("max-age=10"), status }))
          yield* get("/a")
          yield* wait("15 seconds")
          status = 503
          assert.strictEqual((yield* get("/a", { "cache-control": "stale-if-error=60" })).status, 200)
        })
      )
    })

    describe("Vary", () => {
      test(
        "keeps variants apart",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(({ headers }) =>
            fresh(100, `${headers["accept"]} ${headers["accept-language"]}`, { vary: "Accept, ACCEPT-Language" })
          )
          const requests = ["a", "b"].flatMap((accept) => [{ accept, "accept-language": "en" }, { accept }])
          const first = yield* Effect.forEach(requests, (headers) => get("/a", headers))
          const second = yield* Effect.forEach(requests, (headers) => get("/a", headers))
          deepStrictEqual(second.map(({ text }) => text), first.map(({ text }) => text))
          deepStrictEqual(new Set(outcomes(second)), new Set(["hit"]))
          assert.strictEqual(new Set(first.map(({ text }) => text)).size, 4)
          assert.strictEqual(calls(), 4)
          assert.strictEqual((yield* get("/a", { accept: "c" })).info.forwarded, "vary-miss")
        })
      )

      test(
        "of no header is another variant than of an empty one or a different one",
        Effect.gen(function*() {
          const { get } = yield* cached((_, call) => fresh(100, String(call), { vary: "x-a" }))
          assert.strictEqual((yield* get("/a")).text, "1")
          assert.strictEqual((yield* get("/a", { "x-a": "1" })).text, "2")
          assert.strictEqual((yield* get("/a")).text, "1")
          assert.strictEqual((yield* get("/a", { "x-b": "1" })).text, "1")
        })
      )

      test(
        "the latest of several that would do",
        Effect.gen(function*() {
          const { get } = yield* cached(({ headers }, call) =>
            fresh(100, String(call), headers["x-a"] === "2" ? { vary: "x-a" } : {})
          )
          yield* get("/a", { "x-a": "1" })
          yield* wait(1000)
          yield* get("/a", { "cache-control": "no-cache", "x-a": "2" })
          assert.strictEqual((yield* get("/a", { "x-a": "2" })).text, "2")
        })
      )

      test(
        "no more than maxVariants",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(
            ({ headers }) => fresh(100, headers["accept"] ?? "", { vary: "accept" }),
            {
              maxVariants: 2
            }
          )
          for (const accept of ["a", "b", "c"]) {
            yield* get("/a", { accept })
            yield* cache.size
            yield* wait(10)
          }
          assert.strictEqual((yield* bodyRows()).length, 2)
          deepStrictEqual(
            outcomes([
              yield* get("/a", { accept: "c" }),
              yield* get("/a", { accept: "b" }),
              yield* get("/a", { accept: "a" })
            ]),
            ["hit", "hit", "miss"]
          )
        })
      )

      test(
        "values are compared by what an option makes of them, or not at all",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(() => fresh(100, "body", { vary: "User-Agent, Accept" }), {
            vary: { Accept: (value) => value.includes("html") ? "html" : "other", "user-agent": false }
          })
          yield* get("/a", { accept: "text/html", "user-agent": "a" })
          assert.strictEqual((yield* get("/a", { accept: "html, x", "user-agent": "b" })).info.outcome, "hit")
          assert.strictEqual((yield* get("/a", { accept: "json" })).info.outcome, "miss")
          assert.strictEqual((yield* get("/a", { accept: "xml", "user-agent": "c" })).info.outcome, "hit")
          assert.strictEqual(calls(), 2)
        })
      )

      test(
        "languages and encodings in another order or spacing are the same",
        Effect.gen(function*() {
          const { get } = yield* cached(() => fresh(100, "body", { vary: "accept-encoding, accept-language, x-list" }))
          yield* get("/a", { "accept-encoding": "gzip, br", "accept-language": "en,de", "x-list": "a, b" })
          const same = yield* get("/a", { "accept-encoding": "BR,gzip", "accept-language": "de, en", "x-list": "a,b" })
          assert.strictEqual(same.info.outcome, "hit")
          assert.strictEqual((yield* get("/a", { "x-list": "b, a" })).info.outcome, "miss")
        })
      )
    })

    describe("credentials", () => {
      test(
        "two never see each other's, nor does who has none",
        Effect.gen(function*() {
          const { calls, get } = yield* cached(({ headers }) => fresh(100, `for ${headers["authorization"]}`))
          const who = [{}, { authorization: "Bearer a" }, { authorization: "Bearer b" }, { authorization: "Basic a" }]
          const [first, second] = [
            yield* Effect.forEach(who, (headers) => get("/a", headers)),
            yield* Effect.forEach(who, (headers) => get("/a", headers))
          ]
          deepStrictEqual(outcomes(first), ["miss", "miss", "miss", "miss"])
          deepStrictEqual(outcomes(second), ["hit", "hit", "hit", "hit"])
          deepStrictEqual(second.map(({ text }) => text), [
            "for undefined",
            "for Bearer a",
            "for Bearer b",
            "for Basic a"
          ])
          assert.strictEqual(calls(), 4)
        })
      )

      test(
        "those in the URL count too",
        Effect.gen(function*() {
          const { get } = yield* cached((_, call) => fresh(100, String(call)))
          const urls = ["https://u:one@api.example.com/a", "https://u:two@api.example.com/a", `${base}/a`]
          const texts = yield* Effect.forEach([...urls, ...urls], (url) => Effect.map(get(url), ({ text }) => text))
          deepStrictEqual(texts, ["1", "2", "3", "1", "2", "3"])
        })
      )

      test(
        "are never in the database",
        Effect.gen(function*() {
          const { cache, get } = yield* cached(
            () => fresh(100, "body", { vary: "Cookie, Authorization, Proxy-Authorization" }),
            { maxEntries: 100, tagHeaders: ["cache-tag"] }
          )
          const secrets = {
            authorization: "Bearer s3cret-token",
            cookie: "sid=s3cret-cookie",
            "proxy-authorization": "s3cret-proxy"
          }
          yield* get("/a", secrets)
          yield* get("https://user:s3cret-password@api.example.com/b", { cookie: "sid=s3cret-cookie" })
          assert.strictEqual((yield* get("/a", secrets)).info.outcome, "hit")
          assert.strictEqual((yield* get("/a", { ...secrets, cookie: "sid=other" })).info.outcome, "miss")
          assert.strictEqual(yield* cache.size, 2)
          const rows = yield* everything
          assert.isAtLeast(rows.length, 4)
          for (const encoding of ["utf8", "base64", "hex"] as const) {
            for (const secret of ["s3cret-token", "s3cret-cookie", "s3cret-proxy", "s3cret-password"]) {
              const text = Buffer.from(secret).toString(encoding).replace(/=+$/, "")
              assert.isFalse(rows.some((row) => row.includes(text)), `${secret} as ${encoding}`)
            }
          }
        })
      )

      test(
        "partitions see nothing of each other",
        Effect.gen(function*() {
          const { cache, calls, get } = yield* cached(({ headers }) => fresh(100, `for ${headers["x-tenant"]}`), {
            partition: ({ headers }) => headers["x-tenant"]
          })
          for (const tenant of ["a", "b", "a", "b"]) {
            assert.strictEqual((yield* get("/a", { "x-tenant": tenant })).text, `for ${tenant}`)
          }
          yield* get("/a")
          assert.strictEqual(calls(), 3)
          assert.strictEqual(yield* cache.size, 3)
          assert.isTrue(yield* cache.delete(`${base}/a`))
          assert.strictEqual(yield* cache.size, 0)
        })
      )
    })

    describe("a shared cache", () => {
      const shared = (
        headers: Readonly<Record<string, string>>,
        request: Readonly<Record<string, string>> = {},
        after = 0
      ) =>
        Effect.gen(function*() {
          const { cache, get } = yield* cached((_, call) => ({ body: String(call), headers }), {
            mode: "shared",
            name: JSON.stringify([headers, request, after])
          })
          yield* get("/a", request)
          yield* wait(after * 1000)
          const { info } = yield* get("/a", request)
          return { cache, outcome: info.outcome }
        })

      test(
        "s-maxage, private, proxy-revalidate",
        Effect.gen(function*() {
          const cases: ReadonlyArray<[string, Readonly<Record<string, string>>, number, string]> = [
            ["s-maxage=10, max-age=1", {}, 5, "hit"],
            ["s-maxage=1, max-age=10", {}, 5, "miss"],
            ["private, max-age=10", {}, 0, "miss"],
            ["public, max-age=10", {}, 0, "hit"],
            ["max-age=10, proxy-revalidate", { "cache-control": "max-stale" }, 11, "miss"],
            ["s-maxage=10", { "cache-control": "max-stale" }, 11, "miss"],
            ["max-age=10", { "cache-control": "max-stale" }, 11, "stale"]
          ]
          for (const [control, request, after, outcome] of cases) {
            assert.strictEqual((yield* shared({ "cache-control": control }, request, after)).outcome, outcome, control)
          }
        })
      )

      test(
        "what was asked for with Authorization is stored only if the response says so",
        Effect.gen(function*() {
          for (
            const [control, outcome] of [
              ["max-age=10", "miss"],
              ["max-age=10, public", "hit"],
              ["max-age=10, must-revalidate", "hit"],
              ["s-maxage=10", "hit"]
            ] as const
          ) {
            const { outcome: was } = yield* shared({ "cache-control": control }, { authorization: "Bearer a" })
            assert.strictEqual(was, outcome, control)
          }
        })
      )

      test(
        "private=\"field\" leaves the field out, and the private cache keeps it",
        Effect.gen(function*() {
          const answer = () => ({
            headers: { "cache-control": "max-age=10, private=\"x-user\"", "x-other": "1", "x-user": "me" }
          })
          for (const [mode, user] of [["shared", undefined], ["private", "me"]] as const) {
            const { get } = yield* cached(answer, { mode, name: mode })
            yield* get("/a")
            const { headers, info } = yield* get("/a")
            deepStrictEqual([info.outcome, headers["x-user"], headers["x-other"]], ["hit", user, "1"])
          }
        })
      )

      test(
        "s-maxage means nothing to a private one",
        Effect.gen(function*() {
          const { get } = yield* cached(() => ({ headers: { "cache-control": "s-maxage=1, max-age=10, private" } }))
          yield* get("/a")
          yield* wait("5 seconds")
          assert.strictEqual((yield* get("/a")).info.outcome, "hit")
        })
      )
    })

    describe("No-Vary-Search", () => {
      test(
        "key-order, params and except",
        Effect.gen(function*() {
          const cases: ReadonlyArray<[string, ReadonlyArray<[string, string, boolean]>]> = [
            ["key-order", [["?a=1&b=2", "?b=2&a=1", true], ["?a=1", "?a=2", false]]],
            ["params=(\"utm\" \"x\")", [["?a=1&utm=1", "?a=1&utm=2", true], ["?a=1", "?a=1&x=2", true], [
              "?a=1",
              "?a=2",
              false
            ]]],
            ["params", [["?a=1", "?b=2", true], ["", "?x", true]]],
            ["params, except=(\"id\")", [["?id=1&a=1", "?id=1&a=2", true], ["?id=1", "?id=2", false]]],
            ["params=?0", [["?a=1", "?a=2", false]]],
            ["except=(\"id\")", [["?id=1&a=1", "?id=1&a=2", false]]],
            ["nonsense(", [["?a=1", "?a=2", false]]]
          ]
          for (const [field, pairs] of cases) {
            for (const [one, other, isHit] of pairs) {
              const { cache, get } = yield* cached(() => fresh(100, "body", { "no-vary-search": field }), {
                name: `${field} ${one} ${other}`
              })
              yield* get(`/a${one}`)
              yield* cache.size
              assert.strictEqual(
                (yield* get(`/a${other}`)).info.outcome,
                isHit ? "hit" : "miss",
                `${field}: ${one} ${other}`
              )
            }
          }
        })
      )

      test(
        "what is invalidated by one URL is invalidated for all",
        Effect.gen(function*() {
          const { ask, cache, get } = yield* cached(({ method }) =>
            method === "GET" ? fresh(100, "body", { "no-vary-search": "params=(\"x\")" }) : {}
          )
          yield* get("/a?x=1")
          yield* cache.size
          assert.strictEqual((yield* get("/a?x=2")).info.outcome, "hit")
          yield* ask("/a?x=3", { method: "POST" })
          assert.strictEqual((yield* get("/a?x=2")).info.outcome, "miss")
        })
      )
    })
  })
