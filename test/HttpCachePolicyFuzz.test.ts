/**
 * What holds for the policy of the HTTP cache whatever the fields of requests and responses say.
 *
 * EFFECT_KV_FUZZ_RUNS is how often each property is tried, EFFECT_KV_FUZZ_SEED where chance begins.
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { FastCheck as fc } from "effect"
import { setImmediate as nextTurn } from "node:timers/promises"
import { formatDate, parseDate } from "../src/internal/httpCache/date.js"
import {
  parseRequestDirectives,
  parseResponseDirectives,
  parseTargetedDirectives
} from "../src/internal/httpCache/directives.js"
import { evaluate, standsIn } from "../src/internal/httpCache/evaluate.js"
import {
  decodedFields,
  listOf,
  notModifiedFields,
  storedFields,
  updatedFields
} from "../src/internal/httpCache/fields.js"
import { ageOf, explicitLifetime, lifetimeOf } from "../src/internal/httpCache/freshness.js"
import { cacheStatus } from "../src/internal/httpCache/info.js"
import { keyOf, normalUrl, noVarySettings, parseNoVarySearch } from "../src/internal/httpCache/key.js"
import type { Policy } from "../src/internal/httpCache/policy.js"
import { contentRangeOf, rangeAsked } from "../src/internal/httpCache/ranges.js"
import { storable } from "../src/internal/httpCache/storable.js"
import {
  conditions,
  hasConditions,
  ifRangeHolds,
  isForOrigin,
  isKnownToClient,
  strongEquals,
  validated,
  weakEquals
} from "../src/internal/httpCache/validators.js"
import { isSameVariant, matches, selectingValues } from "../src/internal/httpCache/vary.js"
import { day, imfDate, minute, noon, plain, second, shared, stored } from "./httpCachePolicy.js"

const settings = {
  numRuns: Number(process.env.EFFECT_KV_FUZZ_RUNS ?? 500),
  seed: Number(process.env.EFFECT_KV_FUZZ_SEED ?? 9111)
}

const targeted: Policy = { ...shared, targets: ["cdn-cache-control"] }
const policy = fc.constantFrom(plain, shared, targeted, { ...plain, ignores: true })

/** Fields as servers and clients write them. */
const valid = fc.constantFrom(
  "no-store, max-age=60, private=\"a, b\"",
  "public, s-maxage=60, stale-while-revalidate=5, stale-if-error=\"5\"",
  "must-understand, no-store, immutable, no-cache=\"set-cookie\"",
  "max-stale, min-fresh=5, only-if-cached",
  "Sun, 06 Nov 1994 08:49:37 GMT",
  "Sunday, 06-Nov-94 08:49:37 GMT",
  "Sun Nov  6 08:49:37 1994",
  "\"a\", W/\"b\", \"c,d\"",
  "bytes=0-4",
  "bytes 0-4/10",
  "params, except=(\"a\" \"b\"), key-order",
  "Accept, Accept-Encoding, __proto__, constructor, *",
  "gzip;q=1.0, br, *;q=0"
)

const hostile = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.string({ unit: fc.constantFrom(..."\"\\,;= \t*-+:/?@()%0159azZAW\u0000\u00e9\u0660\ud800\u2028") })
)

/** A valid one with something put in, taken out or doubled. */
const mutated = fc.tuple(valid, fc.nat(60), fc.nat(10), fc.oneof(hostile, valid)).map(([text, at, length, insert]) =>
  text.slice(0, at) + insert + text.slice(at + length)
)

const long = fc.tuple(fc.oneof(mutated, hostile, valid), fc.integer({ max: 300, min: 2 })).map(([text, times]) =>
  text.repeat(times)
)

const field = fc.oneof({ arbitrary: mutated, weight: 5 }, { arbitrary: hostile, weight: 4 }, valid, long)

const responseNames = [
  "age",
  "cache-control",
  "cdn-cache-control",
  "connection",
  "constructor",
  "content-range",
  "date",
  "etag",
  "expires",
  "last-modified",
  "no-vary-search",
  "vary",
  "__proto__"
]
const requestNames = [
  "accept",
  "accept-encoding",
  "authorization",
  "cache-control",
  "constructor",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "pragma",
  "range",
  "__proto__"
]

/** Some of the fields there are. */
const fieldsOf = (names: ReadonlyArray<string>): fc.Arbitrary<Readonly<Record<string, string>>> =>
  fc.subarray([...names]).chain((found) =>
    fc.array(field, { maxLength: found.length, minLength: found.length }).map((values) =>
      Object.fromEntries(found.map((name, i) => [name, values[i]!]))
    )
  )

const responseFields = fieldsOf(responseNames)
const requestFields = fieldsOf(requestNames)
const status = fc.constantFrom(200, 204, 206, 299, 302, 304, 404, 416, 500)

/** Directives as they are meant to be, each with what may stand about it. */
const directive = fc.constantFrom(
  "max-age=60",
  "max-age=0",
  "s-maxage=60",
  "public",
  "private",
  "private=\"a, b\"",
  "no-cache",
  "no-cache=\"a\"",
  "must-revalidate",
  "proxy-revalidate",
  "immutable",
  "stale-while-revalidate=60",
  "stale-if-error=60",
  "foo",
  "foo=\"a\\\"b, c\"",
  "max-age=\"5\"",
  "max-age=foo",
  ""
)
const directives = fc.array(directive, { maxLength: 6 })
/** With one more somewhere. */
const withOne = (all: ReadonlyArray<string>, one: string, at: number): string =>
  all.toSpliced(at % (all.length + 1), 0, one).join(", ")

describe("whatever a field says", () => {
  it("nothing throws", { timeout: 180_000 }, () =>
    fc.assert(
      fc.property(
        responseFields,
        requestFields,
        responseFields,
        status,
        policy,
        (response, request, update, status, policy) => {
          const asked = {
            directives: parseRequestDirectives(request["cache-control"], request["pragma"]),
            headers: request,
            method: "GET"
          }
          const kept = stored(response, { status, vary: selectingValues(request, response["vary"], policy) })
          const other = stored(update, { id: "other", vary: selectingValues({}, update["vary"], policy) })
          for (const text of [...Object.values(response), ...Object.values(request), undefined]) {
            parseDate(text, noon)
            parseTargetedDirectives(text)
            contentRangeOf(text)
            listOf(text)
            ifRangeHolds(text, kept)
            const rule = parseNoVarySearch(text)
            if (rule !== undefined) {
              normalUrl(
                new URL("https://example.com/?a=1&b=2"),
                noVarySettings(rule, { isIgnored: undefined, isSorted: false })
              )
            }
            if (text === undefined) continue
            rangeAsked(text, { first: 2, last: 7, total: 10 })
            strongEquals(text, response["etag"] ?? "")
            weakEquals(text, response["etag"] ?? "")
            keyOf(text, { body: text, credentials: text, headers: [[text, text]], method: text, partition: text })
            cacheStatus(text, {
              age: 0,
              collapsed: true,
              detail: "stale",
              forwarded: "stale",
              key: text,
              outcome: "revalidated",
              stored: true,
              storedAt: 0,
              timeToLive: 5
            }, text)
            const url = `https://example.com/${text}`
            if (URL.canParse(url)) {
              normalUrl(new URL(url), { isIgnored: (name) => name === "a", isSorted: true })
            }
          }
          storable(asked, kept, policy)
          explicitLifetime(kept, policy)
          for (const now of [noon, noon + day, -1]) {
            ageOf(kept, now)
            for (const mode of ["any", "default", "validate"] as const) {
              evaluate(asked.directives, kept, now, policy, mode)
            }
            for (const failure of ["disconnected", "error"] as const) {
              standsIn(asked.directives, kept, now, policy, failure)
            }
          }
          matches(request, kept, policy)
          matches(request, other, policy)
          isSameVariant(kept, other)
          isKnownToClient(request, kept, noon)
          hasConditions(request)
          isForOrigin(request)
          conditions(request, kept, [kept, other])
          validated(request, update, kept, [kept, other])
          storedFields(response, parseResponseDirectives(response["cache-control"]), policy.isShared, [])
          updatedFields(response, update)
          notModifiedFields(response)
          decodedFields(response)
        }
      ),
      settings
    ))

  it("times and ages are finite and not below zero", () =>
    fc.assert(
      fc.property(responseFields, status, policy, fc.integer(), (headers, status, policy, later) => {
        const response = stored(headers, { status })
        const { millis } = lifetimeOf(response, policy)
        const age = ageOf(response, noon + later)
        assert.isTrue(Number.isFinite(millis) && millis >= 0, String(millis))
        assert.isTrue(Number.isFinite(age) && age >= 0, String(age))
      }),
      settings
    ))

  it("a request matches what was stored for the same request, unless it varies by everything", () =>
    fc.assert(
      fc.property(requestFields, fc.array(fc.constantFrom(...requestNames), { maxLength: 5 }), (request, names) => {
        const vary = names.join(",")
        const kept = stored({ vary }, { vary: selectingValues(request, vary, plain) })
        assert.isTrue(matches(request, kept, plain))
        const again: typeof kept = JSON.parse(JSON.stringify(kept))
        assert.isTrue(matches(request, again, plain), "not after it was stored")
      }),
      settings
    ))

  it("what is selected by is text", () =>
    fc.assert(
      fc.property(requestFields, field, (request, vary) => {
        for (const value of Object.values(selectingValues(request, vary, plain))) {
          assert.isTrue(value === null || typeof value === "string")
        }
      }),
      settings
    ))

  it("a date is read as it is written", () =>
    fc.assert(
      fc.property(fc.integer({ max: Date.UTC(9999, 11, 31), min: Date.UTC(0, 0, 1) }), (millis) => {
        const seconds = Math.floor(millis / 1000) * 1000
        assert.strictEqual(parseDate(formatDate(seconds), noon), seconds)
      }),
      settings
    ))

  it("the normal form of a URL is that of its normal form", () =>
    fc.assert(
      fc.property(fc.webUrl({ withFragments: true, withQueryParameters: true }), hostile, (base, more) => {
        const url = `${base}${more}`
        if (!URL.canParse(url)) return
        for (const isSorted of [false, true]) {
          const query = { isIgnored: undefined, isSorted }
          const once = normalUrl(new URL(url), query)
          assert.strictEqual(normalUrl(new URL(once), query), once)
        }
      }),
      settings
    ))
})

describe("what is more restrictive", () => {
  const request = { directives: parseRequestDirectives(undefined, undefined), headers: {}, method: "GET" }
  const noStore = fc.constantFrom("no-store", "No-Store", " NO-STORE\t", "no-store=1", "no-store=\"a\"", "no-store=")
  const noCache = fc.constantFrom(
    "no-cache",
    "No-Cache",
    "no-cache=",
    "no-cache=\"\"",
    "no-cache=\" \"",
    "no-cache=\"a b\""
  )
  const obeying = fc.constantFrom(plain, shared)

  it("no-store anywhere: the response is not stored", () =>
    fc.assert(
      fc.property(directives, noStore, fc.nat(), status, obeying, (all, one, at, status, policy) => {
        const headers = { "cache-control": withOne(all, one, at) }
        assert.strictEqual(storable(request, stored(headers, { status }), policy)._tag, "Refuse")
      }),
      settings
    ))

  it("no-store anywhere between what is malformed: the response is not stored", () =>
    fc.assert(
      fc.property(hostile, hostile, noStore, (before, after, one) => {
        // Quotes that are open would have it in them.
        const headers = { "cache-control": `${before.replaceAll("\"", "")},${one},${after}` }
        const isUnderstood = parseResponseDirectives(headers["cache-control"]).mustUnderstand
        assert.isTrue(isUnderstood || storable(request, stored(headers), plain)._tag === "Refuse")
      }),
      settings
    ))

  it("no-store of a request anywhere: nothing is stored", () =>
    fc.assert(
      fc.property(directives, noStore, fc.nat(), policy, (all, one, at, policy) => {
        const asked = { ...request, directives: parseRequestDirectives(withOne(all, one, at), undefined) }
        const decision = storable(asked, stored({ "cache-control": "max-age=60" }), policy)
        deepStrictEqual(decision, { _tag: "Refuse", reason: "request-no-store" })
      }),
      settings
    ))

  it("no-cache anywhere: it is validated, and does not stand in", () =>
    fc.assert(
      fc.property(directives, noCache, fc.nat(), obeying, fc.nat(100), (all, one, at, policy, age) => {
        const response = stored({ "cache-control": withOne(all, one, at) })
        const now = noon + age * second
        assert.strictEqual(evaluate(request.directives, response, now, policy, "default")._tag, "Revalidate")
        assert.isFalse(standsIn(request.directives, response, now, policy, "error"))
      }),
      settings
    ))

  it("no-cache of a request anywhere: it is validated", () =>
    fc.assert(
      fc.property(directives, directives, noCache, fc.nat(), policy, (all, others, one, at, policy) => {
        const asked = parseRequestDirectives(withOne(others, one, at), undefined)
        const response = stored({ "cache-control": all.join(", ") })
        assert.strictEqual(evaluate(asked, response, noon, policy, "default")._tag, "Revalidate")
      }),
      settings
    ))

  it("private anywhere: a shared cache does not store it", () =>
    fc.assert(
      fc.property(
        directives,
        fc.constantFrom("private", "PRIVATE", "private=", "private=\"\""),
        fc.nat(),
        (all, one, at) => {
          const response = stored({ "cache-control": withOne(all, one, at) })
          assert.strictEqual(storable(request, response, shared)._tag, "Refuse")
        }
      ),
      settings
    ))

  it("must-revalidate anywhere: nothing stale is used", () =>
    fc.assert(
      fc.property(directives, fc.constantFrom("must-revalidate", "Must-Revalidate"), fc.nat(), (all, one, at) => {
        const response = stored({ "cache-control": withOne(all, one, at) })
        const asked = parseRequestDirectives("max-stale, stale-if-error=9999", undefined)
        const now = noon + day
        const lenient = { ...plain, staleIfError: 9 * day, staleWhileRevalidate: 9 * day }
        assert.strictEqual(evaluate(asked, response, now, lenient, "default")._tag, "Revalidate")
        assert.isFalse(standsIn(asked, response, now, lenient, "disconnected"))
      }),
      settings
    ))

  /** Fresh is more than stale, and that more than to be validated. */
  const rank = { Fresh: 2, Revalidate: 0, Stale: 1 }

  it("a lower max-age is never fresher", () =>
    fc.assert(
      fc.property(directives, fc.nat(200), fc.nat(200), fc.nat(300), obeying, (all, a, b, age, policy) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)].map((maxAge) =>
          evaluate(
            request.directives,
            stored({ "cache-control": [`max-age=${maxAge}`, ...all].join(", ") }),
            noon + age * second,
            policy,
            "default"
          )
        )
        assert.isAtMost(low!.lifetime.millis, high!.lifetime.millis)
        assert.isAtMost(rank[low!._tag], rank[high!._tag])
      }),
      settings
    ))

  it("an older one is never fresher", () =>
    fc.assert(
      fc.property(directives, directives, fc.nat(300), fc.nat(300), obeying, (all, asked, a, b, policy) => {
        const [young, old] = [Math.min(a, b), Math.max(a, b)].map((age) =>
          evaluate(
            parseRequestDirectives(asked.join(","), undefined),
            stored({ "cache-control": all.join(", ") }),
            noon + age * second,
            policy,
            "default"
          )
        )
        assert.isAtMost(rank[old!._tag], rank[young!._tag])
      }),
      settings
    ))

  it("what a directive is, does not depend on its case", () =>
    fc.assert(
      fc.property(field, fc.boolean(), (text, isUpper) => {
        // Letters of other scripts do not keep their length.
        const other = text.replace(/[a-z]/gi, (letter) => isUpper ? letter.toUpperCase() : letter.toLowerCase())
        deepStrictEqual(parseResponseDirectives(other), parseResponseDirectives(text))
        deepStrictEqual(
          parseRequestDirectives(other, undefined),
          parseRequestDirectives(text, undefined)
        )
        assert.strictEqual(parseDate(other, noon), parseDate(text, noon))
      }),
      settings
    ))

  it("what is said twice is at least as restrictive as once", () =>
    fc.assert(
      fc.property(directives, directives, fc.nat(100), (all, more, age) => {
        const decide = (text: string) =>
          evaluate(request.directives, stored({ "cache-control": text }), noon + age * second, plain, "default")
        const once = all.join(",")
        const twice = [...all, ...all, ...more.filter((directive) => directive.startsWith("max-age"))].join(",")
        // Of what says nothing itself a max-age says something.
        if (!all.some((directive) => directive.startsWith("max-age"))) return
        assert.isAtMost(decide(twice).lifetime.millis, decide(once).lifetime.millis)
      }),
      settings
    ))
})

describe("very long fields", () => {
  /** How much of the processor's time a run takes. */
  const cost = (run: () => unknown): number => {
    const before = process.cpuUsage()
    run()
    const { system, user } = process.cpuUsage(before)
    return user + system
  }

  /** Whether the work is out of proportion, and not by chance. */
  const isTooMuch = (short: () => unknown, long: () => unknown): boolean =>
    [1, 2, 3].every(() => cost(long) > 96 * Math.max(cost(short), 1000))

  const kept = stored({ etag: "\"a\"", "last-modified": imfDate(noon - minute), vary: "foo" })
  const readers: Readonly<Record<string, (text: string) => unknown>> = {
    "Cache-Control of a request": (text) => parseRequestDirectives(text, text),
    "Cache-Control of a response": parseResponseDirectives,
    "Content-Range": contentRangeOf,
    "If-None-Match": (text) => isKnownToClient({ "if-none-match": text }, kept, noon),
    "If-Range": (text) => ifRangeHolds(text, kept),
    "No-Vary-Search": parseNoVarySearch,
    "a date": (text) => parseDate(text, noon),
    "a header that Vary names": (text) => selectingValues({ foo: text }, "foo", plain),
    "a list": listOf,
    "a query": (text) =>
      normalUrl(new URL(`https://a/?${text.replaceAll(",", "&")}`), {
        isIgnored: (name) => name === "a",
        isSorted: true
      }),
    "a targeted field": parseTargetedDirectives,
    "Accept-Encoding": (text) => selectingValues({ "accept-encoding": text }, "accept-encoding", plain),
    "Age": (text) => ageOf(stored({ age: text }), noon),
    "Connection": (text) => storedFields({ a: "b", connection: text }, parseResponseDirectives(""), false, []),
    "Range": (text) => rangeAsked(text, { first: 0, last: 9, total: 10 }),
    "Vary": (text) => selectingValues({ foo: "a" }, text, plain)
  }
  const pieces = [
    " ",
    "\t",
    ",",
    "\"",
    "\\",
    "\\\"",
    "=\"",
    "a=\"\\\",",
    "a=\"b\",",
    "a,",
    "a ",
    "9",
    "9,",
    "-",
    "max-age=1,",
    "max-age=\"",
    "private=\"a,",
    "(",
    "%41",
    "a=1&",
    "W/\"",
    "bytes=",
    "Sun, "
  ]
  const starts = [
    "",
    "max-age=1",
    "private=\"a",
    "bytes=",
    "bytes 0-1/",
    "bytes=1",
    "a=\"",
    "params=(",
    "\"",
    "W/\"",
    "1"
  ]

  for (const [name, read] of Object.entries(readers)) {
    // 16 times the length is 16 times the work, and were 256 times if each character looked at all others.
    it(`${name}: the work grows as the length does`, { timeout: 180_000 }, async () => {
      for (const start of starts) {
        await nextTurn()
        for (const piece of pieces) {
          const of = (length: number) => start + piece.repeat(Math.ceil(length / piece.length)) + "x"
          const [short, long] = [of(6_250), of(100_000)]
          assert.isFalse(
            isTooMuch(() => read(short), () => read(long)),
            `${JSON.stringify(start)} and many ${JSON.stringify(piece)}`
          )
        }
      }
    })
  }

  for (
    const [name, text] of [
      ["a list in quotes", () => `private="${"a,".repeat(500_000)}a"`],
      ["quotes", () => `private="${"a".repeat(10_000_000)}"`],
      ["quotes without an end", () => `private="${"a".repeat(10_000_000)}`],
      ["escapes", () => `no-cache="${"\\a".repeat(2_000_000)}"`],
      ["many directives", () => "min-fresh=1,".repeat(200_000)],
      ["digits", () => `max-age=${"9".repeat(1_000_000)}`]
    ] as const
  ) {
    it(`${name}: no length is too much`, { timeout: 180_000 }, async () => {
      await nextTurn()
      const all = text()
      const response = parseResponseDirectives(all)
      assert.strictEqual(response.noStore, false)
      assert.strictEqual(parseRequestDirectives(all, undefined).noStore, false)
    })
  }
})
