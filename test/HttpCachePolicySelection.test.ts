import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { noDirectives, parseResponseDirectives } from "../src/internal/httpCache/directives.js"
import {
  decodedFields,
  listOf,
  notModifiedFields,
  storedFields,
  updatedFields
} from "../src/internal/httpCache/fields.js"
import {
  type Distinction,
  keyOf,
  keysOf,
  keysOfPath,
  normalUrl,
  type NoVarySearch,
  noVarySettings,
  parseNoVarySearch,
  prefixOf,
  type QuerySettings
} from "../src/internal/httpCache/key.js"
import type { Policy } from "../src/internal/httpCache/policy.js"
import { type ContentRange, contentRangeOf, rangeAsked } from "../src/internal/httpCache/ranges.js"
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
import { hour, imfDate, noon, plain, stored, table } from "./httpCachePolicy.js"

describe("Vary", () => {
  const rfc = "RFC 9111 4.1"
  type Fields = Record<string, string>

  table<readonly [string, string, string | undefined, Fields, Fields, boolean, Partial<Policy>?]>([
    [rfc, "not there: any request matches", undefined, { accept: "a" }, { accept: "b" }, true],
    [rfc, "empty: any request matches", "", { accept: "a" }, { accept: "b" }, true],
    [rfc, "the same value", "accept", { accept: "a" }, { accept: "a" }, true],
    [rfc, "another value", "accept", { accept: "a" }, { accept: "b" }, false],
    [rfc, "in upper case", "ACCEPT", { accept: "a" }, { accept: "b" }, false],
    [rfc, "absent in both", "accept", {}, {}, true],
    [rfc, "absent before", "accept", {}, { accept: "a" }, false],
    [rfc, "absent now", "accept", { accept: "a" }, {}, false],
    [rfc, "absent is not empty", "accept", { accept: "" }, {}, false],
    [rfc, "two fields, both the same", "accept, foo", { accept: "a", foo: "1" }, { accept: "a", foo: "1" }, true],
    [rfc, "two fields, one another", "accept, foo", { accept: "a", foo: "1" }, { accept: "a", foo: "2" }, false],
    [rfc, "two fields, exchanged", "a, b", { a: "1", b: "2" }, { a: "2", b: "1" }, false],
    [rfc, "other fields do not matter", "accept", { accept: "a", foo: "1" }, { accept: "a", foo: "2" }, true],
    [rfc, "empty members", ",, accept,", { accept: "a" }, { accept: "b" }, false],
    [rfc, "* matches nothing", "*", {}, {}, false],
    [rfc, "* among others matches nothing", "accept, *", { accept: "a" }, { accept: "a" }, false],
    [rfc, "whitespace about commas", "foo", { foo: "a, b" }, { foo: "a ,\tb" }, true],
    [rfc, "whitespace around the value", "foo", { foo: "a" }, { foo: " a " }, true],
    [rfc, "whitespace in a value", "foo", { foo: "a b" }, { foo: "a  b" }, false],
    [rfc, "case of a value", "foo", { foo: "a" }, { foo: "A" }, false],
    [rfc, "order of a value", "foo", { foo: "a, b" }, { foo: "b, a" }, false],
    ["RFC 9110 12.5.3", "order of Accept-Encoding", "accept-encoding", { "accept-encoding": "gzip, br" }, {
      "accept-encoding": "br,gzip"
    }, true],
    ["RFC 9110 12.5.3", "case of Accept-Encoding", "accept-encoding", { "accept-encoding": "gzip" }, {
      "accept-encoding": "GZIP"
    }, true],
    ["RFC 9110 12.5.3", "weights of Accept-Encoding", "accept-encoding", { "accept-encoding": "gzip;q=1, br;q=0" }, {
      "accept-encoding": "gzip;q=0, br;q=1"
    }, false],
    ["RFC 9110 12.5.4", "order and case of Accept-Language", "accept-language", { "accept-language": "de, en" }, {
      "accept-language": "EN, de"
    }, true],
    ["RFC 9110 12.5.4", "another Accept-Language", "accept-language", { "accept-language": "de, en" }, {
      "accept-language": "de"
    }, false],
    [rfc, "the same secret", "cookie", { cookie: "a=1" }, { cookie: "a=1" }, true],
    [rfc, "another secret", "authorization", { authorization: "a" }, { authorization: "b" }, false],
    [rfc, "values that differ behind their beginning", "foo", { foo: `${"a".repeat(2000)}b` }, {
      foo: `${"a".repeat(2000)}c`
    }, false],
    [rfc, "the same long value", "foo", { foo: "a".repeat(2000) }, { foo: "a".repeat(2000) }, true],
    [rfc, "values in quotes keep their whitespace", "foo", { foo: "\"a , b\"" }, { foo: "\"a,b\"" }, false],
    [rfc, "fields with the names of methods", "constructor, __proto__", {}, {}, true],
    [
      "options",
      "a field of which nothing is compared",
      "foo, accept",
      { accept: "a", foo: "1" },
      {
        accept: "a",
        foo: "2"
      },
      true,
      { vary: { foo: false } }
    ],
    ["options", "what a function makes of a value", "foo", { foo: "a1" }, { foo: "a2" }, true, {
      vary: { foo: (value) => value.slice(0, 1) }
    }],
    [
      "options",
      "a function stands for what is known of a field",
      "accept-encoding",
      { "accept-encoding": "gzip, br" },
      {
        "accept-encoding": "br, gzip"
      },
      false,
      { vary: { "accept-encoding": (value) => value } }
    ]
  ], (_, __, vary, before, now, expected, more = {}) => {
    const policy = { ...plain, ...more }
    const headers: Fields = vary === undefined ? {} : { vary }
    const response = stored(headers, { vary: selectingValues(before, vary, policy) })
    assert.strictEqual(matches(now, response, policy), expected)
  })

  it("RFC 9111 4.1: a header with the name of a property of objects is one as any other", () => {
    for (const name of ["constructor", "__proto__"]) {
      const [one, two] = ["1", "2"].map((value): Fields => Object.fromEntries([[name, value]]))
      const response = stored({ vary: name }, { vary: selectingValues(one!, name, plain) })
      assert.isTrue(matches(one!, response, plain))
      assert.isFalse(matches(two!, response, plain))
      assert.isFalse(matches({}, response, plain))
    }
  })

  it("RFC 9111 4.1: secrets are not kept as they are, and neither are long values", () => {
    const values = selectingValues(
      { authorization: "Bearer 1234", cookie: "a=1", foo: "x".repeat(1000), bar: "y" },
      "Authorization, Cookie, Foo, Bar, Baz",
      plain
    )
    deepStrictEqual(Object.keys(values), ["authorization", "bar", "baz", "cookie", "foo"])
    assert.match(values["authorization"] ?? "", /^sha256:[\da-f]{64}$/)
    assert.match(values["cookie"] ?? "", /^sha256:/)
    assert.match(values["foo"] ?? "", /^sha256:/)
    assert.strictEqual(values["bar"], "y")
    assert.isNull(values["baz"])
  })

  table<readonly [string, string, Parameters<typeof stored>, Parameters<typeof stored>, boolean]>([
    [
      rfc,
      "what has the same selecting values takes the place",
      [{}, { id: "a" }],
      [{ etag: "\"b\"" }, { id: "b" }],
      true
    ],
    [rfc, "what has others stands beside it", [{}, { vary: { a: "1" } }], [{}, { vary: { a: "2" } }], false],
    [rfc, "what has another method stands beside it", [{}, { method: "HEAD" }], [{}], false],
    ["RFC 9111 3.3", "another part stands beside it", [{}, { range: { first: 0, last: 1 } }], [{}], false]
  ], (_, __, a, b, expected) => assert.strictEqual(isSameVariant(stored(...a), stored(...b)), expected))
})

describe("entity tags", () => {
  const rfc = "RFC 9110 8.8.3.2"

  table<readonly [string, string, string, string, boolean, boolean]>([
    [rfc, "W/\"1\" and W/\"1\"", "W/\"1\"", "W/\"1\"", false, true],
    [rfc, "W/\"1\" and W/\"2\"", "W/\"1\"", "W/\"2\"", false, false],
    [rfc, "W/\"1\" and \"1\"", "W/\"1\"", "\"1\"", false, true],
    [rfc, "\"1\" and W/\"1\"", "\"1\"", "W/\"1\"", false, true],
    [rfc, "\"1\" and \"1\"", "\"1\"", "\"1\"", true, true],
    [rfc, "\"1\" and \"2\"", "\"1\"", "\"2\"", false, false],
    ["RFC 9110 8.8.3", "they are opaque: case counts", "\"a\"", "\"A\"", false, false],
    ["RFC 9110 8.8.3", "a W in lower case does not make one weak", "w/\"1\"", "\"1\"", false, false],
    ["RFC 9110 8.8.3", "an empty one is one", "\"\"", "\"\"", true, true],
    ["RFC 9110 8.8.3", "with bytes above 127", "\"\u00e9\"", "\"\u00e9\"", true, true],
    ["RFC 9110 5.5", "whitespace around it is none of it", " \"1\"", "\"1\" ", true, true]
  ], (_, __, a, b, strong, weak) => {
    assert.strictEqual(strongEquals(a, b), strong)
    assert.strictEqual(weakEquals(a, b), weak)
  })
})

describe("conditions of the client", () => {
  const tagged = { etag: "\"a\"", "last-modified": imfDate(noon - hour) }
  const since = (millis: number) => ({ "if-modified-since": imfDate(millis) })
  const none = (text: string) => ({ "if-none-match": text })
  const inm = "RFC 9110 13.1.2"
  const ims = "RFC 9110 13.1.3"

  table<readonly [string, string, Record<string, string>, Record<string, string>, boolean | undefined]>(
    [
      ["RFC 9111 4.3.2", "none", {}, tagged, undefined],
      [inm, "the tag", none("\"a\""), tagged, true],
      [inm, "another tag", none("\"b\""), tagged, false],
      [inm, "a weak tag, compared weakly", none("W/\"a\""), tagged, true],
      [inm, "the tag of what is stored is weak", none("\"a\""), { etag: "W/\"a\"" }, true],
      [inm, "the tag among others", none("\"b\", \"a\" ,\"c\""), tagged, true],
      [inm, "a weak tag among others", none("\"b\",W/\"a\""), tagged, true],
      [inm, "other tags", none("\"b\", \"c\""), tagged, false],
      [inm, "a tag with a comma", none("\"b\", \"x,y\""), { etag: "\"x,y\"" }, true],
      [inm, "not a part of a tag with a comma", none("\"x,y\""), { etag: "\"y\"" }, false],
      [inm, "a tag with bytes above 127", none("\"\u00e9\""), { etag: "\"\u00e9\"" }, true],
      [inm, "empty members", none(", ,\"a\",,"), tagged, true],
      [inm, "an empty list", none(""), tagged, false],
      [inm, "*", none("*"), tagged, true],
      [inm, "* with whitespace", none(" * "), tagged, true],
      [inm, "* of what has no tag", none("*"), {}, true],
      [inm, "a tag that is *", none("\"*\""), tagged, false],
      [inm, "what has no tag", none("\"a\""), {}, false],
      [ims, "since it was modified", since(noon - hour), tagged, true],
      [ims, "after it was modified", since(noon), tagged, true],
      [ims, "before it was modified", since(noon - 2 * hour), tagged, false],
      [ims, "no date", { "if-modified-since": "yesterday" }, tagged, undefined],
      [ims, "two dates", { "if-modified-since": `${imfDate(noon)}, ${imfDate(noon)}` }, tagged, undefined],
      [ims, "as an rfc850-date", { "if-modified-since": "Wednesday, 15-Jan-25 11:00:00 GMT" }, tagged, true],
      ["RFC 9111 4.3.2", "without Last-Modified Date counts", since(noon - hour), { date: imfDate(noon - hour) }, true],
      ["RFC 9111 4.3.2", "before Date", since(noon - 2 * hour), { date: imfDate(noon - hour) }, false],
      ["RFC 9111 4.3.2", "without both when it came counts", since(noon), {}, true],
      ["RFC 9111 4.3.2", "before it came", since(noon - hour), {}, false],
      [
        "RFC 9110 13.2.2",
        "If-None-Match stands before If-Modified-Since: another tag",
        {
          ...none("\"b\""),
          ...since(noon)
        },
        tagged,
        false
      ],
      [
        "RFC 9110 13.2.2",
        "If-None-Match stands before If-Modified-Since: the tag",
        {
          ...none("\"a\""),
          ...since(noon - 2 * hour)
        },
        tagged,
        true
      ]
    ],
    (_, __, request, headers, expected) => assert.strictEqual(isKnownToClient(request, stored(headers), noon), expected)
  )

  table<readonly [string, string, string, { readonly isForOrigin: boolean; readonly hasConditions: boolean }]>([
    ["RFC 9111 4.3.2", "If-Match is for the origin", "if-match", { hasConditions: false, isForOrigin: true }],
    ["RFC 9111 4.3.2", "If-Unmodified-Since is for the origin", "if-unmodified-since", {
      hasConditions: false,
      isForOrigin: true
    }],
    ["RFC 9111 4.3.2", "If-None-Match is not", "if-none-match", { hasConditions: true, isForOrigin: false }],
    ["RFC 9111 4.3.2", "If-Modified-Since is not", "if-modified-since", { hasConditions: true, isForOrigin: false }],
    ["RFC 9111 4.3.2", "If-Range is neither", "if-range", { hasConditions: false, isForOrigin: false }]
  ], (_, __, name, expected) => {
    const request = { [name]: "\"a\"" }
    deepStrictEqual({ hasConditions: hasConditions(request), isForOrigin: isForOrigin(request) }, expected)
  })
})

describe("conditions for the origin", () => {
  const modified = imfDate(noon - hour)
  const rfc = "RFC 9111 4.3.1"
  const [a, b] = [stored({ etag: "\"a\"", "last-modified": modified }), stored({ etag: "W/\"b\"" }, { id: "b" })]
  const bare = stored({}, { id: "c" })

  table<readonly [string, string, Parameters<typeof conditions>, Record<string, string> | undefined]>([
    [rfc, "the tag and the time", [{}, a, [a]], { "if-modified-since": modified, "if-none-match": "\"a\"" }],
    [rfc, "the tags of all", [{}, a, [a, b]], { "if-modified-since": modified, "if-none-match": "\"a\", W/\"b\"" }],
    [rfc, "the tags of all, though none is selected", [{}, undefined, [a, b]], { "if-none-match": "\"a\", W/\"b\"" }],
    [rfc, "a time alone", [{}, stored({ "last-modified": modified }), []], { "if-modified-since": modified }],
    [rfc, "no tag twice", [{}, a, [a, { ...a, id: "d" }]], { "if-modified-since": modified, "if-none-match": "\"a\"" }],
    [rfc, "what has no validator cannot be asked about", [{}, bare, [bare]], undefined],
    [rfc, "not even with the client's tags", [{ "if-none-match": "\"x\"" }, bare, [bare]], undefined],
    [rfc, "the client's tags as well", [{ "if-none-match": "\"x\", W/\"y\"" }, b, [b]], {
      "if-none-match": "W/\"b\", \"x\", W/\"y\""
    }]
  ], (_, __, args, expected) => deepStrictEqual(conditions(...args), expected))
})

describe("what a 304 is about", () => {
  const modified = imfDate(noon - hour)
  const rfc = "RFC 9111 4.3.4"
  const one = stored({ etag: "\"a\"" }, { id: "one" })
  const two = stored({ etag: "\"b\"" }, { id: "two" })
  const weak = stored({ etag: "W/\"c\"" }, { id: "weak" })
  const old = stored({ "last-modified": modified }, { id: "old" })
  const bare = stored({}, { id: "bare" })

  table<readonly [string, string, Parameters<typeof validated>, string | undefined]>([
    [rfc, "the one with its strong tag", [{}, { etag: "\"b\"" }, one, [one, two]], "two"],
    [rfc, "the one that is selected and has its tag", [{}, { etag: "\"b\"" }, two, [one, two]], "two"],
    [rfc, "the one with its tag, though none is selected", [{}, { etag: "\"b\"" }, undefined, [one, two]], "two"],
    [rfc, "none of several, if none has its strong tag", [{}, { etag: "\"x\"" }, one, [one, two]], undefined],
    [rfc, "the one with its weak tag", [{}, { etag: "W/\"c\"" }, undefined, [one, weak]], "weak"],
    [rfc, "the one with its time", [{}, { "last-modified": modified }, undefined, [one, old]], "old"],
    [
      rfc,
      "none of several with another time",
      [{}, { "last-modified": imfDate(noon) }, undefined, [one, old]],
      undefined
    ],
    [rfc, "the only one, if neither has a validator", [{}, {}, undefined, [bare]], "bare"],
    [rfc, "the selected one, if neither has a validator", [{}, {}, bare, [bare]], "bare"],
    [rfc, "none of several, if it has no validator", [{}, {}, undefined, [one, two]], undefined],
    [rfc, "nothing, if nothing is stored", [{}, { etag: "\"a\"" }, undefined, []], undefined],
    ["beyond RFC 9111 4.3.4", "the only one that was asked about", [{}, { etag: "\"x\"" }, one, [one]], "one"],
    [
      rfc,
      "what the client has, and is not stored",
      [{ "if-none-match": "\"x\"" }, { etag: "\"x\"" }, one, [one]],
      undefined
    ]
  ], (_, __, args, expected) => assert.strictEqual(validated(...args)?.id, expected))
})

describe("fields", () => {
  const rfc = "RFC 9111 3.1"
  const fields = {
    connection: "close, X-Hop",
    "content-type": "text/plain",
    date: imfDate(noon),
    "keep-alive": "timeout=5",
    "proxy-authenticate": "Basic",
    "proxy-authentication-info": "a",
    "proxy-authorization": "a",
    "proxy-connection": "close",
    "set-cookie": "a=1",
    te: "trailers",
    trailer: "x",
    "transfer-encoding": "chunked",
    upgrade: "h2c",
    "x-hop": "1",
    "x-own": "2"
  }

  table<readonly [string, string, string, boolean, ReadonlyArray<string>, ReadonlyArray<string>]>([
    [rfc, "those of the connection are not stored", "", false, [], ["content-type", "date", "set-cookie", "x-own"]],
    ["RFC 9111 5.2.2.4", "nor those that no-cache names", "no-cache=\"Set-Cookie, X-Foo\"", false, [], [
      "content-type",
      "date",
      "x-own"
    ]],
    ["RFC 9111 5.2.2.4", "no-cache of all names none", "no-cache", false, [], [
      "content-type",
      "date",
      "set-cookie",
      "x-own"
    ]],
    ["RFC 9111 5.2.2.7", "nor those that private names, in a shared cache", "private=\"X-Own\"", true, [], [
      "content-type",
      "date",
      "set-cookie"
    ]],
    ["RFC 9111 5.2.2.7", "those that private names are, in a private cache", "private=\"X-Own\"", false, [], [
      "content-type",
      "date",
      "set-cookie",
      "x-own"
    ]],
    ["options", "nor those that are dropped", "", false, ["set-cookie"], ["content-type", "date", "x-own"]]
  ], (_, __, cacheControl, isShared, dropped, expected) =>
    deepStrictEqual(
      Object.keys(storedFields(fields, parseResponseDirectives(cacheControl), isShared, dropped)),
      [...expected]
    ))

  it("RFC 9111 3.1: a list of Connection in any case, with empty members", () =>
    deepStrictEqual(storedFields({ a: "1", b: "2", connection: ",A , ,", c: "3" }, noDirectives, false, []), {
      b: "2",
      c: "3"
    }))

  table<readonly [string, string, Record<string, string>, Record<string, string>, Record<string, string>]>([
    ["RFC 9111 3.2", "a field takes the place of its own", { a: "1", b: "1" }, { a: "2" }, { a: "2", b: "1" }],
    ["RFC 9111 3.2", "a new field is added", { a: "1" }, { b: "2" }, { a: "1", b: "2" }],
    ["RFC 9111 3.2", "Content-Length stays", { "content-length": "5" }, { "content-length": "0" }, {
      "content-length": "5"
    }],
    ["RFC 9111 3.2", "Content-Encoding stays", { "content-encoding": "gzip" }, { "content-encoding": "br" }, {
      "content-encoding": "gzip"
    }],
    ["RFC 9111 3.2", "Content-Range stays", { "content-range": "bytes 0-1/2" }, { "content-range": "bytes 0-0/9" }, {
      "content-range": "bytes 0-1/2"
    }],
    ["RFC 9111 3.2", "none of them is added", {}, { "content-encoding": "br", "content-length": "0" }, {}],
    [
      "RFC 9111 3.2",
      "Cache-Control, Expires, Date and Vary",
      {
        "cache-control": "max-age=1",
        date: "a",
        expires: "a",
        vary: "a"
      },
      { "cache-control": "max-age=9", date: "b", expires: "b", vary: "b" },
      {
        "cache-control": "max-age=9",
        date: "b",
        expires: "b",
        vary: "b"
      }
    ],
    ["RFC 9111 3.2", "Last-Modified", { "last-modified": "a" }, { "last-modified": "b" }, { "last-modified": "b" }],
    ["RFC 9111 3.2", "a tag is added, if there is none", {}, { etag: "\"a\"" }, { etag: "\"a\"" }]
  ], (_, __, before, update, expected) => deepStrictEqual(updatedFields(before, update), expected))

  table<readonly [string, string, boolean]>([
    ["RFC 9110 15.4.5", "cache-control", true],
    ["RFC 9110 15.4.5", "content-location", true],
    ["RFC 9110 15.4.5", "date", true],
    ["RFC 9110 15.4.5", "etag", true],
    ["RFC 9110 15.4.5", "expires", true],
    ["RFC 9110 15.4.5", "vary", true],
    ["RFC 9110 15.4.5", "content-type", false],
    ["RFC 9110 15.4.5", "content-length", false],
    ["RFC 9110 15.4.5", "content-encoding", false]
  ], (_, name, isSent) => assert.strictEqual(name in notModifiedFields({ [name]: "a" }), isSent))

  it("RFC 9110 8.4: what the transport has decoded has no encoding any more", () =>
    deepStrictEqual(decodedFields({ "content-encoding": "gzip", "content-length": "5", "content-type": "a" }), {
      "content-type": "a"
    }))

  it("RFC 9110 5.6.1: the members of a list, without the empty ones", () => {
    deepStrictEqual(listOf(" ,A ,, b,"), ["a", "b"])
    deepStrictEqual(listOf(undefined), [])
  })
})

describe("ranges", () => {
  table<readonly [string, string, string | undefined, ContentRange | undefined]>([
    ["RFC 9110 14.4", "of a known length", "bytes 0-4/10", { first: 0, last: 4, total: 10 }],
    ["RFC 9110 14.4", "of an unknown length", "bytes 0-4/*", { first: 0, last: 4, total: undefined }],
    ["RFC 9110 14.1", "the unit in any case", "BYTES 0-4/10", { first: 0, last: 4, total: 10 }],
    ["RFC 9110 14.4", "all of it", "bytes 0-9/10", { first: 0, last: 9, total: 10 }],
    ["RFC 9110 14.4", "one byte", "bytes 9-9/10", { first: 9, last: 9, total: 10 }],
    ["RFC 9110 14.4", "the last is before the first", "bytes 4-3/10", undefined],
    ["RFC 9110 14.4", "the last is the length", "bytes 0-10/10", undefined],
    ["RFC 9110 14.4", "of nothing", "bytes 0-0/0", undefined],
    ["RFC 9110 14.4", "that could not be satisfied", "bytes */10", undefined],
    ["RFC 9110 14.4", "of another unit", "lines 0-4/10", undefined],
    ["RFC 9110 14.4", "with =", "bytes=0-4/10", undefined],
    ["RFC 9110 14.4", "without a length", "bytes 0-4", undefined],
    ["RFC 9110 14.4", "below zero", "bytes -1-4/10", undefined],
    ["RFC 9110 14.4", "two", "bytes 0-4/10, bytes 5-9/10", undefined],
    ["RFC 9110 14.4", "larger than can be counted", `bytes 0-${"9".repeat(20)}/*`, undefined],
    ["RFC 9110 14.4", "not there", undefined, undefined]
  ], (_, __, text, expected) => deepStrictEqual(contentRangeOf(text), expected))

  const whole = { first: 0, last: 9, total: 10 }
  const middle = { first: 4, last: 7, total: 10 }
  const open = { first: 4, last: 7, total: undefined }
  const rfc = "RFC 9110 14.1.2"
  const bytes = (first: number, last: number) => ({ _tag: "Bytes" as const, range: { first, last } })
  const ignored = { _tag: "Ignored" as const }
  const unsatisfiable = { _tag: "Unsatisfiable" as const }
  const beyond = { _tag: "Beyond" as const }

  table<readonly [string, string, string, ContentRange, ReturnType<typeof rangeAsked>]>([
    [rfc, "from one byte through another", "bytes=2-4", whole, bytes(2, 4)],
    [rfc, "one byte", "bytes=0-0", whole, bytes(0, 0)],
    [rfc, "from one byte on", "bytes=2-", whole, bytes(2, 9)],
    [rfc, "all from the first byte on", "bytes=0-", whole, bytes(0, 9)],
    [rfc, "the last bytes", "bytes=-3", whole, bytes(7, 9)],
    [rfc, "more of the last bytes than there are", "bytes=-30", whole, bytes(0, 9)],
    [rfc, "through more than there is", "bytes=8-99", whole, bytes(8, 9)],
    [rfc, "the last byte", "bytes=9-9", whole, bytes(9, 9)],
    [rfc, "behind the end", "bytes=10-", whole, unsatisfiable],
    [rfc, "behind the end, through another", "bytes=10-12", whole, unsatisfiable],
    [rfc, "the last none", "bytes=-0", whole, unsatisfiable],
    [rfc, "of an empty body", "bytes=0-", { first: 0, last: -1, total: 0 }, unsatisfiable],
    [rfc, "the last is before the first", "bytes=4-2", whole, ignored],
    [rfc, "nothing", "bytes=", whole, ignored],
    [rfc, "neither first nor last", "bytes=-", whole, ignored],
    [rfc, "no number", "bytes=a-b", whole, ignored],
    [rfc, "below zero", "bytes=-1-4", whole, ignored],
    [rfc, "a decimal", "bytes=0-4.5", whole, ignored],
    ["RFC 9110 14.1", "the unit in any case", "BYTES=2-4", whole, bytes(2, 4)],
    ["RFC 9110 14.2", "another unit", "lines=2-4", whole, ignored],
    ["RFC 9110 14.2", "no unit", "2-4", whole, ignored],
    ["RFC 9110 14.2", "several", "bytes=0-1,4-5", whole, ignored],
    ["RFC 9110 14.2", "an empty field", "", whole, ignored],
    ["RFC 9110 14.2", "larger than can be counted", `bytes=0-${"9".repeat(20)}`, whole, ignored],
    ["RFC 9111 3.3", "in the part that is there", "bytes=5-6", middle, bytes(5, 6)],
    ["RFC 9111 3.3", "the part that is there", "bytes=4-7", middle, bytes(4, 7)],
    ["RFC 9111 3.3", "before the part that is there", "bytes=3-6", middle, beyond],
    ["RFC 9111 3.3", "behind the part that is there", "bytes=5-8", middle, beyond],
    ["RFC 9111 3.3", "the last bytes, which are not there", "bytes=-3", middle, beyond],
    ["RFC 9111 3.3", "the last bytes, which are there", "bytes=-3", { first: 6, last: 9, total: 10 }, bytes(7, 9)],
    ["RFC 9111 3.3", "in a part of what has no known length", "bytes=5-6", open, bytes(5, 6)],
    ["RFC 9111 3.3", "to the end of what has no known length", "bytes=5-", open, beyond],
    ["RFC 9111 3.3", "the last bytes of what has no known length", "bytes=-1", open, beyond],
    ["RFC 9111 3.3", "behind the whole", "bytes=10-", middle, unsatisfiable]
  ], (_, __, field, there, expected) => deepStrictEqual(rangeAsked(field, there), expected))

  const modified = imfDate(noon - hour)
  const rfcIf = "RFC 9110 13.1.5"
  const response = { date: imfDate(noon), etag: "\"a\"", "last-modified": modified }

  table<readonly [string, string, string | undefined, Record<string, string>, boolean]>([
    [rfcIf, "not there", undefined, response, true],
    [rfcIf, "the tag", "\"a\"", response, true],
    [rfcIf, "another tag", "\"b\"", response, false],
    [rfcIf, "a weak tag", "W/\"a\"", response, false],
    [rfcIf, "the tag of what is stored is weak", "\"a\"", { etag: "W/\"a\"" }, false],
    [rfcIf, "both are weak", "W/\"a\"", { etag: "W/\"a\"" }, false],
    [rfcIf, "a tag, and none is stored", "\"a\"", { "last-modified": modified }, false],
    [rfcIf, "several tags are none", "\"b\", \"a\"", response, false],
    [rfcIf, "*", "*", response, false],
    [rfcIf, "the date", modified, response, true],
    [rfcIf, "a later date", imfDate(noon), response, false],
    [rfcIf, "an earlier date", imfDate(noon - 2 * hour), response, false],
    [rfcIf, "a date, and none is stored", modified, { etag: "\"a\"" }, false],
    [rfcIf, "empty", "", response, false]
  ], (_, __, field, headers, expected) => assert.strictEqual(ifRangeHolds(field, stored(headers)), expected))
})

describe("URLs", () => {
  const none: QuerySettings = { isIgnored: undefined, isSorted: false }
  const rfc = "RFC 3986 6.2.2"

  table<readonly [string, string, string, string, boolean]>([
    ["RFC 3986 6.2.2.1", "case of the scheme", "HTTPS://example.com/", "https://example.com/", true],
    ["RFC 3986 6.2.2.1", "case of the host", "https://EXAMPLE.com/", "https://example.com/", true],
    ["RFC 3986 6.2.2.1", "case of the path", "https://example.com/A", "https://example.com/a", false],
    ["RFC 3986 6.2.2.1", "case of the query", "https://example.com/?A", "https://example.com/?a", false],
    ["RFC 3986 6.2.2.1", "case of an escape", "https://example.com/%3a", "https://example.com/%3A", true],
    [
      "RFC 3986 6.2.2.1",
      "case of an escape in the query",
      "https://example.com/?a=%c3",
      "https://example.com/?a=%C3",
      true
    ],
    [
      "RFC 3986 6.2.2.2",
      "an escape that is not needed",
      "https://example.com/%61%7E%2d%5f%30",
      "https://example.com/a~-_0",
      true
    ],
    [
      "RFC 3986 6.2.2.2",
      "an escape that is not needed, in the query",
      "https://example.com/?%61=%31",
      "https://example.com/?a=1",
      true
    ],
    ["RFC 3986 2.2", "an escape that is needed", "https://example.com/a%2Fb", "https://example.com/a/b", false],
    [
      "RFC 3986 2.2",
      "an escape that is needed, in the query",
      "https://example.com/?a=%26b",
      "https://example.com/?a=&b",
      false
    ],
    ["RFC 3986 2.4", "nothing is unescaped twice", "https://example.com/%2561", "https://example.com/%61", false],
    ["RFC 3986 2.4", "an escape that is none", "https://example.com/%zz", "https://example.com/%ZZ", false],
    [rfc, "a plus is no space", "https://example.com/?a=+", "https://example.com/?a=%20", false],
    ["RFC 3986 6.2.2.3", "segments of dots", "https://example.com/a/./b/../c", "https://example.com/a/c", true],
    [
      "RFC 3986 6.2.2.3",
      "segments of dots that are escaped",
      "https://example.com/a/%2e%2E/c",
      "https://example.com/c",
      true
    ],
    ["RFC 3986 6.2.3", "the port that it has anyway", "https://example.com:443/", "https://example.com/", true],
    ["RFC 3986 6.2.3", "the port that it has anyway, of http", "http://example.com:80/", "http://example.com/", true],
    ["RFC 3986 6.2.3", "another port", "https://example.com:444/", "https://example.com/", false],
    ["RFC 3986 6.2.3", "an empty port", "https://example.com:/", "https://example.com/", true],
    ["RFC 3986 6.2.3", "an empty path", "https://example.com", "https://example.com/", true],
    ["RFC 3986 6.2.3", "an empty path before a query", "https://example.com?a", "https://example.com/?a", true],
    [rfc, "a slash at the end", "https://example.com/a/", "https://example.com/a", false],
    [rfc, "two slashes", "https://example.com//a", "https://example.com/a", false],
    [rfc, "another scheme", "http://example.com/", "https://example.com/", false],
    [rfc, "a dot at the end of the host", "https://example.com./", "https://example.com/", false],
    ["RFC 9110 7.1", "a fragment is not sent", "https://example.com/a#b", "https://example.com/a", true],
    [rfc, "the order of parameters", "https://example.com/?a=1&b=2", "https://example.com/?b=2&a=1", false],
    [rfc, "an empty value", "https://example.com/?a=", "https://example.com/?a", false],
    [rfc, "an empty parameter", "https://example.com/?a&", "https://example.com/?a", false]
  ], (_, __, a, b, isSame) => assert.strictEqual(normalUrl(new URL(a), none) === normalUrl(new URL(b), none), isSame))

  it("who is named in a URL is not told", () =>
    assert.strictEqual(normalUrl(new URL("https://user:secret@example.com/a"), none), "https://example.com/a"))

  it("RFC 3986 6.2: the normal form of a normal form is the same", () => {
    for (const url of ["https://example.com/%2561%C3%a9?%3d=%3D&b=+", "http://a/%7e/%2f?x#y", "http://[::1]:8080/"]) {
      const once = normalUrl(new URL(url), none)
      assert.strictEqual(normalUrl(new URL(once), none), once)
    }
  })

  table<readonly [string, string, Partial<QuerySettings>, string, string]>([
    ["options", "parameters in their order", { isSorted: true }, "?b=2&a=1&c", "?a=1&b=2&c"],
    ["options", "a parameter that is ignored", { isIgnored: (name) => name === "a" }, "?a=1&b=2", "?b=2"],
    ["options", "one that is there twice", { isIgnored: (name) => name === "a" }, "?a=1&b=2&a", "?b=2"],
    ["options", "all are ignored", { isIgnored: () => true }, "?a=1&b=2", ""],
    ["options", "one that is escaped", { isIgnored: (name) => name === "a b" }, "?a%20b=1&a+b=2&c", "?c"],
    ["options", "one whose escape is none", { isIgnored: (name) => name === "%zz" }, "?%zz=1&c", "?c"],
    ["options", "one without a name", { isIgnored: (name) => name === "" }, "?=1&c", "?c"],
    ["options", "ignored and in order", { isIgnored: (name) => name === "a", isSorted: true }, "?c&b&a", "?b&c"]
  ], (_, __, settings, search, expected) =>
    assert.strictEqual(
      normalUrl(new URL(`https://example.com/${search}`), { ...none, ...settings }),
      `https://example.com/${expected}`
    ))
})

describe("keys", () => {
  const url = "https://example.com/a"
  const rfc = "RFC 9111 2"

  table<readonly [string, string, Distinction]>([
    [rfc, "another method", { method: "POST" }],
    [rfc, "another body", { body: "a" }],
    [rfc, "an empty body", { body: "" }],
    [rfc, "other credentials", { credentials: "a" }],
    [rfc, "another partition", { partition: "a" }],
    [rfc, "the empty partition", { partition: "" }],
    [rfc, "a header", { headers: [["a", "1"]] }],
    [rfc, "a header that is not there", { headers: [["a", undefined]] }],
    [rfc, "another header", { headers: [["a", "2"]] }]
  ], (_, __, distinction) => {
    const key = keyOf(url, distinction)
    assert.notStrictEqual(key, keyOf(url, {}))
    assert.strictEqual(key, keyOf(url, { ...distinction }))
    assert.isTrue(key.startsWith(keysOf(url)))
  })

  it("RFC 9111 2: all that differs has keys that differ", () => {
    const all: ReadonlyArray<Distinction> = [
      {},
      { body: "a" },
      { credentials: "a" },
      { method: "a" },
      { partition: "a" },
      { partition: "null" },
      { body: "a", partition: "a" },
      { headers: [["a", "a"]] },
      { headers: [["a", undefined]] },
      { headers: [["a", "a"], ["b", "b"]] }
    ]
    assert.strictEqual(new Set(all.map((distinction) => keyOf(url, distinction))).size, all.length)
  })

  it("RFC 9111 2: no key of a URL begins with those of another", () => {
    for (const other of [`${url}b`, `${url}/`, `${url}?`, url.slice(0, -1)]) {
      assert.isFalse(keyOf(other, {}).startsWith(keysOf(url)))
      assert.isFalse(keyOf(url, {}).startsWith(keysOf(other)))
    }
  })

  it("a long URL has a short key of its own", () => {
    const long = `${url}${"b".repeat(5000)}`
    const keys = [long, `${long}c`, `${long}d`].map((url) => keyOf(url, { partition: "p" }))
    assert.strictEqual(new Set(keys).size, 3)
    for (const key of keys) assert.isAtMost(key.length, 1000)
    const { isAll, prefix } = prefixOf(long)
    assert.isFalse(isAll)
    for (const key of keys) assert.isTrue(key.startsWith(prefix))
    deepStrictEqual(prefixOf(url), { isAll: true, prefix: url })
  })

  it("secrets are not told by keys", () =>
    assert.notInclude(keyOf(url, { body: "secret", credentials: "secret", partition: "secret" }), "secret"))
})

describe("No-Vary-Search", () => {
  const rfc = "No-Vary-Search 3"
  const says = (more: Partial<NoVarySearch>): NoVarySearch => ({ ignored: [], isSorted: false, kept: [], ...more })

  table<readonly [string, string, string | undefined, NoVarySearch | undefined]>([
    [rfc, "not there", undefined, undefined],
    [rfc, "empty", "", undefined],
    [rfc, "key-order", "key-order", says({ isSorted: true })],
    [rfc, "key-order that is false", "key-order=?0", undefined],
    [rfc, "key-order that is no boolean", "key-order=1", undefined],
    [rfc, "key-order that is a list", "key-order=(\"a\"), params", undefined],
    [rfc, "all params", "params", says({ ignored: true })],
    [rfc, "params that is false", "params=?0", undefined],
    [rfc, "some params", "params=(\"a\" \"b\")", says({ ignored: ["a", "b"] })],
    [rfc, "no params", "params=()", undefined],
    [rfc, "params of tokens", "params=(a)", undefined],
    [rfc, "params of a string", "params=\"a\"", undefined],
    [rfc, "all params but some", "params, except=(\"a\")", says({ ignored: true, kept: ["a"] })],
    [rfc, "except alone", "except=(\"a\")", undefined],
    [rfc, "except beside some params", "params=(\"b\"), except=(\"a\")", undefined],
    [rfc, "except that is no list", "params, except=\"a\"", undefined],
    [rfc, "except of tokens", "params, except=(a)", undefined],
    [rfc, "all of it", "key-order, params, except=(\"a\")", says({ ignored: true, isSorted: true, kept: ["a"] })],
    [rfc, "unknown members are passed over", "foo=1, key-order", says({ isSorted: true })],
    [rfc, "parameters are passed over", "key-order;a=1", says({ isSorted: true })],
    [rfc, "what cannot be read", "params=(", undefined],
    [rfc, "what has names in upper case", "Params", undefined]
  ], (_, __, text, expected) => deepStrictEqual(parseNoVarySearch(text), expected))

  const none: QuerySettings = { isIgnored: undefined, isSorted: false }

  table<readonly [string, string, string, string, string, boolean]>([
    [rfc, "key-order: another order", "key-order", "?a=1&b=2", "?b=2&a=1", true],
    [rfc, "key-order: another order of one name", "key-order", "?a=1&a=2", "?a=2&a=1", false],
    [rfc, "key-order: another value", "key-order", "?a=1&b=2", "?b=2&a=2", false],
    [rfc, "params: one that is ignored", "params=(\"a\")", "?a=1&b=2", "?b=2&a=3", true],
    [rfc, "params: one that is ignored, and absent", "params=(\"a\")", "?a=1&b=2", "?b=2", true],
    [rfc, "params: another one", "params=(\"a\")", "?a=1&b=2", "?a=1&b=3", false],
    [rfc, "params: all", "params", "?a=1&b=2", "", true],
    [rfc, "params: the order of the others", "params=(\"a\")", "?b=2&c=3", "?c=3&b=2", false],
    [rfc, "except: one that is kept", "params, except=(\"a\")", "?a=1&b=2", "?a=2&b=2", false],
    [rfc, "except: one that is not", "params, except=(\"a\")", "?a=1&b=2", "?a=1&c=2", true]
  ], (_, __, field, a, b, isSame) => {
    const settings = noVarySettings(parseNoVarySearch(field)!, none)
    const [one, two] = [a, b].map((search) => normalUrl(new URL(`https://example.com/x${search}`), settings))
    assert.strictEqual(one === two, isSame)
  })

  it("what the options ignore is ignored as well", () => {
    const settings = noVarySettings(says({ ignored: ["a"] }), { isIgnored: (name) => name === "b", isSorted: true })
    assert.strictEqual(normalUrl(new URL("https://example.com/?d&c&b&a"), settings), "https://example.com/?c&d")
  })

  it("the keys of a path begin with it, in its normal form", () => {
    const of = (path: string) => keysOfPath(new URL(path, "https://example.com"))
    deepStrictEqual(of("/%61?y"), ["https://example.com/a ", "https://example.com/a?"])
    deepStrictEqual(of("/a?x=1"), of("/%61"))
    assert.notDeepEqual(of("/b"), of("/a"))
  })
})
