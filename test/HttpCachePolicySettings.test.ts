import { HttpClientRequest } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { Either } from "effect"
import type { HttpCache } from "effect-kv"
import { chunkBytes, isIntact, Pieces, rowBytes } from "../src/internal/httpCache/chunks.js"
import { lifetimeOf } from "../src/internal/httpCache/freshness.js"
import { cacheStatus } from "../src/internal/httpCache/info.js"
import { parseSettings, type Settings } from "../src/internal/httpCache/settings.js"
import { day, hour, minute, noon, second, stored, table } from "./httpCachePolicy.js"

const settingsOf = (options: HttpCache.Options): Settings => Either.getOrThrowWith(parseSettings(options), Error)

const appliedBy = (options: HttpCache.Options, own: HttpCache.RequestOptions = {}, url = "https://example.com/") =>
  Either.getOrThrowWith(settingsOf(options).appliedTo(HttpClientRequest.get(url), new URL(url), own), Error)

describe("Cache-Status", () => {
  const nothing: HttpCache.CacheInfo = {
    age: undefined,
    collapsed: undefined,
    detail: undefined,
    forwarded: undefined,
    key: undefined,
    outcome: "hit",
    stored: false,
    storedAt: undefined,
    timeToLive: undefined
  }
  const miss = { ...nothing, outcome: "miss" as const }

  table<readonly [string, string, string, Partial<HttpCache.CacheInfo>, string | undefined, string]>(
    [
      ["RFC 9211 2.1", "a hit", "Own", nothing, undefined, "Own;hit"],
      [
        "RFC 9211 2.1",
        "what is stored already is not said to be",
        "Own",
        { ...nothing, stored: true },
        undefined,
        "Own;hit"
      ],
      ["RFC 9211 2.4", "how long it is fresh", "Own", { ...nothing, timeToLive: 30_000 }, undefined, "Own;hit;ttl=30"],
      [
        "RFC 9211 2.4",
        "for how long it has been stale",
        "Own",
        { ...nothing, timeToLive: -30_000 },
        undefined,
        "Own;hit;ttl=-30"
      ],
      ["RFC 9211 2.4", "in whole seconds", "Own", { ...nothing, timeToLive: 1999 }, undefined, "Own;hit;ttl=1"],
      ["RFC 9211 2.4", "just stale is below zero", "Own", { ...nothing, timeToLive: -1 }, undefined, "Own;hit;ttl=-1"],
      [
        "RFC 9651 3.3.1",
        "a time that is too large is left out",
        "Own",
        { ...nothing, timeToLive: 1e300 },
        undefined,
        "Own;hit"
      ],
      ["RFC 9211 2.2", "a miss", "Own", { ...miss, forwarded: "uri-miss" }, undefined, "Own;fwd=uri-miss"],
      [
        "RFC 9211 2.2",
        "a miss of the variant",
        "Own",
        { ...miss, forwarded: "vary-miss" },
        undefined,
        "Own;fwd=vary-miss"
      ],
      [
        "RFC 9211 2.2",
        "a bypass",
        "Own",
        { ...miss, forwarded: "bypass", outcome: "bypass" },
        undefined,
        "Own;fwd=bypass"
      ],
      [
        "RFC 9211 2.2",
        "another method",
        "Own",
        { ...miss, forwarded: "method", outcome: "bypass" },
        undefined,
        "Own;fwd=method"
      ],
      [
        "RFC 9211 2.2",
        "what the request asks for",
        "Own",
        { ...miss, forwarded: "request" },
        undefined,
        "Own;fwd=request"
      ],
      [
        "RFC 9211 2.2",
        "a part that is not there",
        "Own",
        { ...miss, forwarded: "partial" },
        undefined,
        "Own;fwd=partial"
      ],
      [
        "RFC 9211 2.3",
        "what was validated",
        "Own",
        {
          ...nothing,
          forwarded: "stale",
          outcome: "revalidated",
          stored: true,
          timeToLive: 60_000
        },
        undefined,
        "Own;fwd=stale;fwd-status=304;ttl=60;stored"
      ],
      [
        "RFC 9211 2.5",
        "a miss that is stored",
        "Own",
        { ...miss, forwarded: "uri-miss", stored: true },
        undefined,
        "Own;fwd=uri-miss;stored"
      ],
      [
        "RFC 9211 2.6",
        "one of several that asked for the same",
        "Own",
        {
          ...miss,
          collapsed: true,
          forwarded: "uri-miss"
        },
        undefined,
        "Own;fwd=uri-miss;collapsed"
      ],
      [
        "RFC 9211 2.8",
        "more of why",
        "Own",
        { ...miss, detail: "request-max-age", forwarded: "request" },
        undefined,
        "Own;fwd=request;detail=request-max-age"
      ],
      [
        "RFC 9211 2",
        "caches before this one stand first",
        "Own",
        nothing,
        "Origin; hit; ttl=5",
        "Origin; hit; ttl=5, Own;hit"
      ],
      ["RFC 9211 2", "an empty field says nothing", "Own", nothing, " ", "Own;hit"],
      ["RFC 9211 2", "a name that is a Token", "own.example/a:b", nothing, undefined, "own.example/a:b;hit"],
      ["RFC 9211 2", "a name that is a String", "own cache", nothing, undefined, "\"own cache\";hit"],
      ["RFC 9211 2", "a name that begins with a digit", "1own", nothing, undefined, "\"1own\";hit"],
      ["RFC 9211 2", "an empty name", "", nothing, undefined, "\"\";hit"],
      ["RFC 9651 3.3.3", "a name with quotes and backslashes", "a\"b\\c", nothing, undefined, "\"a\\\"b\\\\c\";hit"],
      ["RFC 9651 3.3.3", "a name with what no String can hold", "a\u00e9\nb", nothing, undefined, "\"a??b\";hit"]
    ],
    (_, __, name, info, before, expected) =>
      assert.strictEqual(cacheStatus(name, { ...nothing, ...info }, before), expected)
  )
})

describe("rules", () => {
  const matching = (url: NonNullable<HttpCache.Rule["url"]>, at: string): boolean =>
    appliedBy({ rules: [{ timeToLive: minute, url }] }, {}, at).timeToLive(noon) !== undefined

  table<readonly [string, string, NonNullable<HttpCache.Rule["url"]>, string, boolean]>([
    ["pattern", "a host is all of its paths", "example.com", "https://example.com/a/b?c=1", true],
    ["pattern", "a host without a scheme is all schemes", "example.com", "http://example.com/", true],
    ["pattern", "a host in upper case", "EXAMPLE.com", "https://example.com/", true],
    ["pattern", "another host", "example.com", "https://example.org/", false],
    ["pattern", "not a host that ends so", "example.com", "https://badexample.com/", false],
    ["pattern", "not a host that begins so", "example.com", "https://example.com.bad.org/", false],
    ["pattern", "not a host below it", "example.com", "https://a.example.com/", false],
    ["pattern", "not a path that is so", "example.com", "https://bad.org/example.com", false],
    ["pattern", "not who is named so", "example.com", "https://example.com@bad.org/", false],
    ["pattern", "a dot is no other character", "example.com", "https://exampleXcom/", false],
    ["pattern", "not another port", "example.com", "https://example.com:8080/", false],
    ["pattern", "a port", "example.com:8080", "https://example.com:8080/", true],
    ["pattern", "any part of a host", "*.example.com", "https://a.example.com/", true],
    ["pattern", "* is no dot of a host", "*.example.com", "https://a.b.example.com/", false],
    ["pattern", "* is not nothing and a dot", "*.example.com", "https://example.com/", false],
    ["pattern", "* in the middle of a part", "a*c.example.com", "https://abc.example.com/", true],
    ["pattern", "** is any parts of a host", "**.example.com", "https://a.b.example.com/", true],
    ["pattern", "a scheme", "https://example.com", "https://example.com/a", true],
    ["pattern", "another scheme", "https://example.com", "http://example.com/a", false],
    ["pattern", "a scheme in upper case", "HTTPS://example.com", "https://example.com/a", true],
    ["pattern", "any scheme", "*://example.com/a", "http://example.com/a", true],
    ["pattern", "a path", "example.com/a", "https://example.com/a", true],
    ["pattern", "a path, whatever the query", "example.com/a", "https://example.com/a?b=1", true],
    ["pattern", "not a path below it", "example.com/a", "https://example.com/a/b", false],
    ["pattern", "not a path that begins so", "example.com/a", "https://example.com/ab", false],
    ["pattern", "not a path in another case", "example.com/a", "https://example.com/A", false],
    ["pattern", "* is a part of a path", "example.com/a/*", "https://example.com/a/b", true],
    ["pattern", "* is no slash", "example.com/a/*", "https://example.com/a/b/c", false],
    ["pattern", "* between slashes", "example.com/*/c", "https://example.com/b/c", true],
    ["pattern", "** is any path", "example.com/a/**", "https://example.com/a/b/c", true],
    ["pattern", "** is nothing as well", "example.com/a/**", "https://example.com/a/", true],
    ["pattern", "** is what follows alone", "example.com/a/**", "https://example.com/b/a/", false],
    ["pattern", "a path of any host", "/a/*", "https://example.org/a/b", true],
    ["pattern", "another path of any host", "/a/*", "https://example.org/b/b", false],
    ["pattern", "a query", "example.com/a?b=1", "https://example.com/a?b=1", true],
    ["pattern", "another query", "example.com/a?b=1", "https://example.com/a?b=2", false],
    ["pattern", "a query that is not there", "example.com/a?b=1", "https://example.com/a", false],
    ["pattern", "any value in a query", "example.com/a?b=*", "https://example.com/a?b=2", true],
    ["pattern", "what is special in expressions", "example.com/a+(b)[c]", "https://example.com/a+(b)[c]", true],
    ["pattern", "everything", "**", "https://example.com/a?b", true],
    ["expression", "anywhere in the URL", /\/a\b/, "https://example.com/a?b", true],
    ["expression", "of the query", /\?b$/, "https://example.com/a?b", true],
    ["expression", "another URL", /\/c\b/, "https://example.com/a?b", false],
    ["function", "of the URL", ({ pathname }) => pathname === "/a", "https://example.com/a", true],
    ["function", "of another URL", ({ pathname }) => pathname === "/a", "https://example.com/b", false]
  ], (_, __, url, at, expected) => assert.strictEqual(matching(url, at), expected))

  it("an expression that remembers where it was matches again and again", () => {
    const { appliedTo } = settingsOf({ rules: [{ timeToLive: minute, url: /example/gy }, { store: false }] })
    const url = new URL("https://example.com/")
    const sticky = settingsOf({ rules: [{ timeToLive: minute, url: /https/gy }] })
    for (let i = 0; i < 4; i++) {
      const applied = Either.getOrThrow(appliedTo(HttpClientRequest.get(url), url, {}))
      assert.isTrue(applied.isCached)
      const other = Either.getOrThrow(sticky.appliedTo(HttpClientRequest.get(url), url, {}))
      assert.strictEqual(other.timeToLive(noon), minute)
    }
  })

  it("a rule holds if its url and its when do", () => {
    const { appliedTo } = settingsOf({
      rules: [{ store: false, url: "example.com", when: ({ headers }) => headers["x"] === "1" }]
    })
    const isCached = (at: string, x: string) =>
      Either.getOrThrow(appliedTo(HttpClientRequest.get(at, { headers: { x } }), new URL(at), {})).isCached
    assert.isFalse(isCached("https://example.com/", "1"))
    assert.isTrue(isCached("https://example.com/", "2"))
    assert.isTrue(isCached("https://example.org/", "1"))
  })

  it("the first rule that matches counts, and no other", () => {
    const applied = appliedBy({
      rules: [
        { timeToLive: hour, url: "example.org" },
        { tags: ["a"], url: "example.com" },
        { staleIfError: minute, store: false, tags: ["b"], timeToLive: second }
      ]
    })
    assert.isTrue(applied.isCached)
    deepStrictEqual(applied.tags, ["a"])
    assert.isUndefined(applied.timeToLive(noon))
    assert.isUndefined(applied.policy.staleIfError)
  })
})

describe("precedence", () => {
  const times = ["staleIfDisconnected", "staleIfError", "staleWhileRevalidate"] as const

  for (const name of times) {
    table<readonly [string, string, number | undefined, number | undefined, number | undefined, number | undefined]>([
      [name, "request, rule, all: that of the request", 1, 2, 3, 1],
      [name, "rule, all: that of the rule", undefined, 2, 3, 2],
      [name, "all", undefined, undefined, 3, 3],
      [name, "request, all: that of the request", 1, undefined, 3, 1],
      [name, "zero of the request stands before the rule", 0, 2, 3, 0],
      [name, "zero of the rule stands before all", undefined, 0, 3, 0],
      [name, "none", undefined, undefined, undefined, name === "staleIfDisconnected" ? day : undefined]
    ], (_, __, own, rule, all, expected) =>
      assert.strictEqual(
        appliedBy({ [name]: all, rules: [{ [name]: rule }] }, { [name]: own }).policy[name],
        expected
      ))
  }

  table<
    readonly [string, string, number | Date | undefined, number | undefined, number | undefined, number | undefined]
  >([
    ["timeToLive", "request, rule, all: that of the request", 1, 2, 3, 1],
    ["timeToLive", "rule, all: that of the rule", undefined, 2, 3, 2],
    ["timeToLive", "all", undefined, undefined, 3, 3],
    ["timeToLive", "none", undefined, undefined, undefined, undefined],
    ["timeToLive", "zero of the request", 0, 2, 3, 0],
    ["timeToLive", "until a date", new Date(noon + hour), 2, 3, hour],
    ["timeToLive", "until a date that is over", new Date(noon - hour), 2, 3, 0],
    ["timeToLive", "for ever", Infinity, 2, 3, Number.MAX_SAFE_INTEGER]
  ], (_, __, own, rule, all, expected) =>
    assert.strictEqual(
      appliedBy({ rules: [{ timeToLive: rule }], timeToLive: all }, { timeToLive: own }).timeToLive(noon),
      expected
    ))

  type Control = HttpCache.Caching["cacheControl"]
  table<readonly [string, string, Control, Control, Control, boolean]>([
    ["cacheControl", "respected, if nothing is said", undefined, undefined, undefined, false],
    ["cacheControl", "ignored by all", undefined, undefined, "ignore", true],
    ["cacheControl", "ignored by the rule", undefined, "ignore", "respect", true],
    ["cacheControl", "respected by the rule", undefined, "respect", "ignore", false],
    ["cacheControl", "ignored by the request", "ignore", "respect", "respect", true],
    ["cacheControl", "respected by the request", "respect", "ignore", "ignore", false]
  ], (_, __, own, rule, all, expected) =>
    assert.strictEqual(
      appliedBy({ cacheControl: all, rules: [{ cacheControl: rule }] }, { cacheControl: own }).policy.ignores,
      expected
    ))

  type Heuristics = HttpCache.Caching["heuristics"]
  const usual = { atMost: 7 * day, fraction: 0.1 }
  table<readonly [string, string, Heuristics, Heuristics, Heuristics, typeof usual | undefined]>([
    ["heuristics", "a tenth and a week, if nothing is said", undefined, undefined, undefined, usual],
    ["heuristics", "none for all", undefined, undefined, false, undefined],
    ["heuristics", "none for the rule", undefined, false, {}, undefined],
    ["heuristics", "none for the request", false, {}, {}, undefined],
    ["heuristics", "those of the request, though the rule has none", {}, false, false, usual],
    ["heuristics", "those of the rule, with what is usual", undefined, { fraction: 0.5 }, false, {
      ...usual,
      fraction: 0.5
    }],
    [
      "heuristics",
      "those of the request are not mixed with others",
      { atMost: "1 hour" },
      { fraction: 0.5 },
      undefined,
      {
        atMost: hour,
        fraction: 0.1
      }
    ]
  ], (_, __, own, rule, all, expected) =>
    deepStrictEqual(
      appliedBy({ heuristics: all, rules: [{ heuristics: rule }] }, { heuristics: own }).policy.heuristics,
      expected
    ))

  it("tags of the request and of the rule are put together", () =>
    deepStrictEqual(appliedBy({ rules: [{ tags: ["b"] }] }, { tags: ["a"] }).tags, ["a", "b"]))

  it("what a response says stands before timeToLive, unless it is ignored", () => {
    const lifetime = (options: HttpCache.Options, headers: Record<string, string>) => {
      const { policy, timeToLive } = appliedBy(options)
      return lifetimeOf(stored(headers, { timeToLive: timeToLive(noon) }), policy).millis
    }
    const says = { "cache-control": "max-age=5" }
    assert.strictEqual(lifetime({ timeToLive: "1 hour" }, says), 5 * second)
    assert.strictEqual(lifetime({ timeToLive: "1 hour" }, {}), hour)
    assert.strictEqual(lifetime({ cacheControl: "ignore", timeToLive: "1 hour" }, says), hour)
    assert.strictEqual(lifetime({ cacheControl: "ignore" }, says), 0)
  })

  it("the mode alone changes nothing of what is said", () => {
    const options: HttpCache.Options = { rules: [{ staleIfError: minute }], timeToLive: hour }
    const applied = appliedBy(options, { mode: "no-cache" })
    assert.strictEqual(applied.policy.staleIfError, minute)
    assert.strictEqual(applied.timeToLive(noon), hour)
  })
})

describe("options that are not valid", () => {
  const bad: ReadonlyArray<readonly [string, HttpCache.Caching]> = [
    ["timeToLive that is no duration", { timeToLive: NaN }],
    ["timeToLive that is no date", { timeToLive: new Date(NaN) }],
    ["staleIfError that is no duration", { staleIfError: NaN }],
    ["staleIfDisconnected that is no duration", { staleIfDisconnected: NaN }],
    ["staleWhileRevalidate that is no duration", { staleWhileRevalidate: NaN }],
    ["heuristics.fraction above one", { heuristics: { fraction: 1.1 } }],
    ["heuristics.fraction below zero", { heuristics: { fraction: -0.1 } }],
    ["heuristics.fraction that is no number", { heuristics: { fraction: NaN } }],
    ["heuristics.atMost that is no duration", { heuristics: { atMost: NaN } }]
  ]
  for (const [name, caching] of bad) {
    it(`${name}: of all, of a rule, of a request`, () => {
      const field = name.split(/[. ]/, 1)[0]!
      const complaints: ReadonlyArray<Either.Either<unknown, string>> = [
        parseSettings(caching),
        parseSettings({ rules: [{}, caching] }),
        settingsOf({}).appliedTo(HttpClientRequest.get("https://a/"), new URL("https://a/"), caching)
      ]
      for (const complaint of complaints) {
        assert.isTrue(Either.isLeft(complaint))
        if (Either.isLeft(complaint)) assert.include(complaint.left, field)
      }
    })
  }
})

describe("general options", () => {
  it("names of headers are in lower case, and those of the key in order", () => {
    const settings = settingsOf({
      droppedHeaders: ["Set-Cookie"],
      keyHeaders: ["X-B", "X-A"],
      methods: ["get", "Post"],
      tagHeaders: ["Cache-Tag"],
      targets: ["CDN-Cache-Control"],
      vary: { Foo: false }
    })
    deepStrictEqual(settings.dropped, ["set-cookie"])
    deepStrictEqual(settings.keyHeaders, ["x-a", "x-b"])
    deepStrictEqual(settings.methods, new Set(["GET", "POST"]))
    deepStrictEqual(settings.tagHeaders, ["cache-groups", "cache-tag"])
    deepStrictEqual(settings.general.policy.targets, ["cdn-cache-control"])
    deepStrictEqual(settings.general.policy.vary, { foo: false })
  })

  it("what is usual", () => {
    const settings = settingsOf({})
    assert.isFalse(settings.isShared)
    assert.isTrue(settings.general.isCached)
    assert.isTrue(settings.general.policy.isStatus(599))
    assert.strictEqual(settings.retain, 7 * day)
    deepStrictEqual(settings.methods, new Set(["GET", "HEAD"]))
    deepStrictEqual(settings.query, { isIgnored: undefined, isSorted: false })
  })

  table<readonly [string, string, HttpCache.Options["statuses"], number, boolean]>(
    [
      ["statuses", "one of a list", [200, 404], 404, true],
      ["statuses", "another one", [200, 404], 301, false],
      ["statuses", "by a function", (status) => status < 300, 204, true],
      ["statuses", "not by a function", (status) => status < 300, 404, false]
    ],
    (_, __, statuses, status, expected) =>
      assert.strictEqual(settingsOf({ statuses }).general.policy.isStatus(status), expected)
  )

  table<readonly [string, string, HttpCache.Options, string, boolean | undefined]>([
    ["parameters", "one that is ignored", { ignoredParameters: ["a"] }, "a", true],
    ["parameters", "another one", { ignoredParameters: ["a"] }, "ab", false],
    ["parameters", "in another case", { ignoredParameters: ["a"] }, "A", false],
    ["parameters", "all that begin so", { ignoredParameters: ["utm_*"] }, "utm_source", true],
    ["parameters", "one that does not begin so", { ignoredParameters: ["utm_*"] }, "xutm_source", false],
    ["parameters", "all", { ignoredParameters: ["*"] }, "a", true],
    ["parameters", "none", { ignoredParameters: [] }, "a", false],
    ["parameters", "one that makes a difference", { significantParameters: ["a"] }, "a", false],
    ["parameters", "one that makes none", { significantParameters: ["a"] }, "b", true],
    ["parameters", "none makes a difference", { significantParameters: [] }, "a", true],
    ["parameters", "one that is both", { ignoredParameters: ["a"], significantParameters: ["a"] }, "a", true],
    ["parameters", "nothing is said", {}, "a", undefined]
  ], (_, __, options, name, expected) => assert.strictEqual(settingsOf(options).query.isIgnored?.(name), expected))
})

describe("chunks", () => {
  const bytesOf = (length: number) => Uint8Array.from({ length }, (_, i) => i * 7)

  for (const length of [0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, 3 * chunkBytes]) {
    for (const piece of [1000, chunkBytes, 5 * chunkBytes]) {
      it(`${length} bytes in pieces of ${piece}`, () => {
        const body = bytesOf(length)
        const pieces = new Pieces()
        const chunks: Array<Uint8Array> = []
        for (let at = 0; at < length; at += piece) chunks.push(...pieces.add(body.subarray(at, at + piece)))
        chunks.push(...[pieces.end() ?? []].flat())
        assert.strictEqual(pieces.bytes, length)
        assert.strictEqual(pieces.chunks, chunks.length)
        assert.strictEqual(chunks.length, Math.ceil(length / chunkBytes))
        let at = 0
        for (const chunk of chunks) {
          const own = Math.min(chunkBytes, length - at)
          assert.isTrue(isIntact(chunk, own))
          assert.isTrue(Buffer.from(chunk).subarray(0, own).equals(body.subarray(at, at + own)))
          at += own
        }
        assert.strictEqual(at, length)
        const stored = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0)
        assert.strictEqual(rowBytes(length, 0), stored)
        assert.strictEqual(rowBytes(length, 9), stored + 9 * chunks.length)
      })
    }
  }

  it("a chunk with any bit changed, or of another length, is damaged", () => {
    const pieces = new Pieces()
    pieces.add(bytesOf(20))
    const chunk = pieces.end()!
    assert.isTrue(isIntact(chunk, 20))
    for (let bit = 0; bit < chunk.byteLength * 8; bit++) {
      const damaged = Uint8Array.from(chunk)
      damaged[bit >> 3]! ^= 1 << (bit & 7)
      assert.isFalse(isIntact(damaged, 20))
    }
    assert.isFalse(isIntact(chunk, 19))
    assert.isFalse(isIntact(chunk, 21))
    assert.isFalse(isIntact(chunk.subarray(1), 20))
    assert.isFalse(isIntact(new Uint8Array(0), 0))
  })

  it("a chunk that lies within other memory is read where it is", () => {
    const pieces = new Pieces()
    pieces.add(bytesOf(20))
    const chunk = pieces.end()!
    const around = new Uint8Array(100)
    around.set(chunk, 13)
    assert.isTrue(isIntact(around.subarray(13, 13 + chunk.byteLength), 20))
  })
})
