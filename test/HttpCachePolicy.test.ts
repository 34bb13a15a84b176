import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import type { HttpCacheStore } from "effect-kv"
import { formatDate, parseDate } from "../src/internal/httpCache/date.js"
import {
  noDirectives,
  parseRequestDirectives,
  parseResponseDirectives,
  parseTargetedDirectives,
  type RequestDirectives,
  type ResponseDirectives
} from "../src/internal/httpCache/directives.js"
import { type Decision, evaluate, standsIn } from "../src/internal/httpCache/evaluate.js"
import { ageOf, directivesOf, type Lifetime, lifetimeOf } from "../src/internal/httpCache/freshness.js"
import type { Policy } from "../src/internal/httpCache/policy.js"
import { type Refusal, storable } from "../src/internal/httpCache/storable.js"
import { asking, day, hour, imfDate, minute, noon, plain, second, shared, stored, table } from "./httpCachePolicy.js"

const longest = 2 ** 31

describe("dates", () => {
  const at = Date.UTC(1994, 10, 6, 8, 49, 37)
  const rfc = "RFC 9110 5.6.7"
  const lenient = "RFC 9111 4.2"

  table<readonly [string, string, string, number | undefined]>([
    [rfc, "IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", at],
    [rfc, "rfc850-date", "Sunday, 06-Nov-94 08:49:37 GMT", at],
    [rfc, "asctime-date, whose day has a space", "Sun Nov  6 08:49:37 1994", at],
    [rfc, "asctime-date, whose day has two digits", "Wed Nov 16 08:49:37 1994", at + 10 * day],
    [rfc, "asctime-date, whose day begins with a zero", "Sun Nov 06 08:49:37 1994", at],
    [rfc, "midnight", "Thu, 01 Jan 1970 00:00:00 GMT", 0],
    [rfc, "before the epoch", "Wed, 31 Dec 1969 23:59:59 GMT", -1000],
    [rfc, "the 29th of February of a leap year", "Thu, 29 Feb 2024 00:00:00 GMT", Date.UTC(2024, 1, 29)],
    [rfc, "the 29th of February of another year", "Wed, 29 Feb 2023 00:00:00 GMT", undefined],
    [rfc, "the 29th of February of 1900, which is no leap year", "Thu, 29 Feb 1900 00:00:00 GMT", undefined],
    [rfc, "the last year there is", "Fri, 31 Dec 9999 23:59:59 GMT", Date.UTC(9999, 11, 31, 23, 59, 59)],
    [rfc, "a year below 100, with four digits", "Sat, 01 Jan 0050 00:00:00 GMT", Date.parse("0050-01-01T00:00:00Z")],
    [rfc, "a leap second is the next one", "Sat, 31 Dec 2016 23:59:60 GMT", Date.UTC(2017, 0, 1)],
    [rfc, "no second 61", "Sat, 31 Dec 2016 23:59:61 GMT", undefined],
    [rfc, "no minute 60", "Sun, 06 Nov 1994 08:60:00 GMT", undefined],
    [rfc, "no hour 24", "Sun, 06 Nov 1994 24:00:00 GMT", undefined],
    [rfc, "no day 31 of November", "Thu, 31 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "no day 0", "Sun, 00 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "no day 32", "Sun, 32 Dec 1994 08:49:37 GMT", undefined],
    [lenient, "IMF-fixdate in lower case", "sun, 06 nov 1994 08:49:37 gmt", at],
    [lenient, "IMF-fixdate in upper case", "SUN, 06 NOV 1994 08:49:37 GMT", at],
    [lenient, "rfc850-date in lower case", "sunday, 06-nov-94 08:49:37 gmt", at],
    [lenient, "asctime-date in upper case", "SUN NOV  6 08:49:37 1994", at],
    [lenient, "no other zone", "Sun, 06 Nov 1994 08:49:37 EST", undefined],
    [lenient, "no zone by numbers", "Sun, 06 Nov 1994 08:49:37 +0000", undefined],
    [lenient, "no date without a zone", "Sun, 06 Nov 1994 08:49:37", undefined],
    [lenient, "no asctime-date with a zone", "Sun Nov  6 08:49:37 1994 GMT", undefined],
    [rfc, "whitespace around the value is none of it", " \tSun, 06 Nov 1994 08:49:37 GMT ", at],
    [rfc, "one digit for the day is none in an IMF-fixdate", "Sun, 6 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "one digit for the hour", "Sun, 06 Nov 1994 8:49:37 GMT", undefined],
    [rfc, "no seconds", "Sun, 06 Nov 1994 08:49 GMT", undefined],
    [rfc, "parts of seconds", "Sun, 06 Nov 1994 08:49:37.5 GMT", undefined],
    [rfc, "two digits for the year are for an rfc850-date alone", "Sun, 06 Nov 94 08:49:37 GMT", undefined],
    [rfc, "four digits for the year are not for an rfc850-date", "Sunday, 06-Nov-1994 08:49:37 GMT", undefined],
    [rfc, "no day of the week", "06 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "no day of the week that there is", "Foo, 06 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "no month that there is", "Sun, 06 Foo 1994 08:49:37 GMT", undefined],
    [rfc, "two spaces", "Sun, 06  Nov 1994 08:49:37 GMT", undefined],
    [rfc, "a tab for a space", "Sun,\t06 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "no comma", "Sun 06 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "something behind it", "Sun, 06 Nov 1994 08:49:37 GMT, x", undefined],
    [rfc, "two dates", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", undefined],
    [rfc, "a date of ISO 8601", "1994-11-06T08:49:37Z", undefined],
    [rfc, "a number", "784111777", undefined],
    [rfc, "nothing", "", undefined],
    [rfc, "digits of other scripts", "Sun, ٠٦ Nov 1994 08:49:37 GMT", undefined],
    ["RFC 9111 5.3", "Expires: 0", "0", undefined],
    ["RFC 9111 5.3", "Expires: -1", "-1", undefined]
  ], (_, __, text, expected) => assert.strictEqual(parseDate(text, noon), expected))

  table<readonly [string, string, string, number]>(
    [
      [rfc, "the year 25 is now", "25", 2025],
      [rfc, "the year 26 is ahead", "26", 2026],
      [rfc, "the year 74 is 50 years ahead at most", "74", 2074],
      [rfc, "the year 76 is more than 50 years ahead, and so long past", "76", 1976],
      [rfc, "the year 99 is long past", "99", 1999],
      [rfc, "the year 00 is past", "00", 2000]
    ],
    (_, __, digits, year) =>
      assert.strictEqual(parseDate(`Monday, 01-Jan-${digits} 00:00:00 GMT`, noon), Date.UTC(year, 0, 1))
  )

  table<readonly [string, string, number, string]>([
    [rfc, "is written as an IMF-fixdate", at, "Sun, 06 Nov 1994 08:49:37 GMT"],
    [rfc, "is written in whole seconds", at + 999, "Sun, 06 Nov 1994 08:49:37 GMT"]
  ], (_, __, millis, expected) => assert.strictEqual(formatDate(millis), expected))
})

describe("Cache-Control of responses", () => {
  const syntax = "RFC 9111 5.2"
  const times = "RFC 9111 1.2.2"
  const conflict = "RFC 9111 4.2.1"

  table<readonly [string, string, string, Partial<ResponseDirectives>]>([
    [syntax, "nothing", "", {}],
    [syntax, "one directive", "no-store", { noStore: true }],
    [syntax, "names in any case", "No-Store, MAX-AGE=5", { maxAge: 5, noStore: true }],
    [syntax, "unknown ones are passed over", "foo, bar=1, baz=\"x\", max-age=5", { maxAge: 5 }],
    [syntax, "no space between them", "no-store,max-age=5", { maxAge: 5, noStore: true }],
    [syntax, "spaces and tabs around them", " \tno-store \t, \tmax-age=5\t", { maxAge: 5, noStore: true }],
    ["RFC 9110 5.6.1", "empty members", ",, ,no-store,,max-age=5,", { maxAge: 5, noStore: true }],
    [syntax, "a name that only begins so is another one", "no-storex, max-age-foo=5, xno-cache", {}],
    [syntax, "a value in quotes means the same", "max-age=\"5\"", { maxAge: 5 }],
    ["RFC 9110 5.6.4", "an escape in quotes means the character", "max-age=\"\\5\"", { maxAge: 5 }],
    ["RFC 9110 5.6.4", "a comma in quotes is none", "foo=\"a, no-store\", max-age=5", { maxAge: 5 }],
    ["RFC 9110 5.6.4", "a quote that is escaped does not end it", "foo=\"a\\\", no-store\", max-age=5", { maxAge: 5 }],
    ["RFC 9110 5.6.4", "a backslash that is escaped escapes nothing", "foo=\"a\\\\\", no-store", { noStore: true }],
    [syntax, "quotes without an end hide nothing", "foo=\"a, no-store", { noStore: true }],
    [syntax, "quotes without an end, with an escape at the end", "foo=\"a, no-store, b\\", { noStore: true }],
    [syntax, "quotes that do not end make a time malformed", "max-age=\"5, no-store", { maxAge: 0, noStore: true }],
    [syntax, "single quotes are no quotes", "max-age='5'", { maxAge: 0 }],
    [times, "zero", "max-age=0", { maxAge: 0 }],
    [times, "zeros before it", "max-age=0005", { maxAge: 5 }],
    [times, "the largest that has to be known", "max-age=2147483647", { maxAge: 2147483647 }],
    [times, "a larger one is for ever", "max-age=2147483649", { maxAge: longest }],
    [times, "one with a hundred digits is for ever", `max-age=${"9".repeat(100)}`, { maxAge: longest }],
    [times, "one with a thousand digits is for ever", `max-age=${"9".repeat(1000)}`, { maxAge: longest }],
    [conflict, "one that is below zero is invalid, and so stale", "max-age=-5", { maxAge: 0 }],
    [conflict, "one with a sign", "max-age=+5", { maxAge: 0 }],
    [conflict, "a decimal", "max-age=5.0", { maxAge: 0 }],
    [conflict, "an exponent", "max-age=1e3", { maxAge: 0 }],
    [conflict, "a hexadecimal", "max-age=0x10", { maxAge: 0 }],
    [conflict, "a word", "max-age=foo", { maxAge: 0 }],
    [conflict, "a number with something behind it", "max-age=5s", { maxAge: 0 }],
    [conflict, "no value", "max-age", { maxAge: 0 }],
    [conflict, "an empty value", "max-age=", { maxAge: 0 }],
    [conflict, "an empty value in quotes", "max-age=\"\"", { maxAge: 0 }],
    [conflict, "a space before =", "max-age =5", { maxAge: 0 }],
    [conflict, "a space behind =", "max-age= 5", { maxAge: 0 }],
    [conflict, "two values", "max-age=5 6", { maxAge: 0 }],
    [conflict, "two equals signs", "max-age==5", { maxAge: 0 }],
    [conflict, "a space in quotes", "max-age=\" 5\"", { maxAge: 0 }],
    [conflict, "digits of other scripts", "max-age=٥", { maxAge: 0 }],
    [conflict, "twice the same", "max-age=5, max-age=5", { maxAge: 5 }],
    [conflict, "twice, the shorter one behind", "max-age=5, max-age=0", { maxAge: 0 }],
    [conflict, "twice, the shorter one before", "max-age=0, max-age=5", { maxAge: 0 }],
    [conflict, "twice, one is malformed", "max-age=5, max-age=foo", { maxAge: 0 }],
    [conflict, "twice, in different cases", "max-age=9, Max-Age=5", { maxAge: 5 }],
    [syntax, "separated by a semicolon is malformed", "max-age=5; no-store", { maxAge: 0 }],
    ["RFC 9111 5.2.2.10", "s-maxage", "s-maxage=5", { sMaxAge: 5 }],
    ["RFC 9111 5.2.2.10", "s-maxage that is malformed", "s-maxage=foo", { sMaxAge: 0 }],
    ["RFC 9111 5.2.2.5", "no-store with a value that it does not have", "no-store=foo", { noStore: true }],
    ["RFC 9111 5.2.2.5", "no-store that is malformed", "no-store=", { noStore: true }],
    ["RFC 9111 5.2.2.5", "no-store with something behind it", "no-store foo", { noStore: true }],
    ["RFC 9111 5.2.2.4", "no-cache", "no-cache", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache of a field", "no-cache=\"Foo\"", { noCache: ["foo"] }],
    ["RFC 9111 5.2.2.4", "no-cache of two fields", "no-cache=\"Foo, bar\"", { noCache: ["foo", "bar"] }],
    ["RFC 9111 5.2.2.4", "no-cache of a field, without quotes", "no-cache=foo", { noCache: ["foo"] }],
    ["RFC 9111 5.2.2.4", "no-cache of fields, twice", "no-cache=\"a\", no-cache=\"b\"", { noCache: ["a", "b"] }],
    ["RFC 9111 5.2.2.4", "no-cache of a field, and of all", "no-cache=\"a\", no-cache", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache of all, and of a field", "no-cache, no-cache=\"a\"", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache of nothing", "no-cache=\"\"", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache without a value behind =", "no-cache=", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache of what is no field", "no-cache=\"a b\"", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache of a field, without an end", "no-cache=\"a", { noCache: true }],
    ["RFC 9111 5.2.2.4", "no-cache of a field, with something behind", "no-cache=\"a\"b", { noCache: true }],
    ["RFC 9111 5.2.2.7", "private", "private", { private: true }],
    ["RFC 9111 5.2.2.7", "private of a field", "private=\"Set-Cookie\"", { private: ["set-cookie"] }],
    ["RFC 9111 5.2.2.7", "private of two fields, with an escape", "private=\"a,\\b\"", { private: ["a", "b"] }],
    ["RFC 9111 5.2.2.7", "private of nothing", "private=\"\"", { private: true }],
    ["RFC 9111 5.2.2.7", "private of a field, without an end", "private=\"a", { private: true }],
    ["RFC 9111 5.2.2.9", "public", "public", { public: true }],
    ["RFC 9111 5.2.2.2", "must-revalidate", "must-revalidate", { mustRevalidate: true }],
    ["RFC 9111 5.2.2.3", "must-understand", "must-understand, no-store", { mustUnderstand: true, noStore: true }],
    ["RFC 9111 5.2.2.8", "proxy-revalidate", "proxy-revalidate", { proxyRevalidate: true }],
    ["RFC 8246 2", "immutable", "immutable", { immutable: true }],
    ["RFC 5861 3", "stale-while-revalidate", "stale-while-revalidate=5", { staleWhileRevalidate: 5 }],
    ["RFC 5861 3", "stale-while-revalidate that is malformed", "stale-while-revalidate", { staleWhileRevalidate: 0 }],
    ["RFC 5861 4", "stale-if-error", "stale-if-error=5", { staleIfError: 5 }],
    ["RFC 5861 4", "stale-if-error that is malformed", "stale-if-error=x", { staleIfError: 0 }],
    ["RFC 5861 4", "stale-if-error twice", "stale-if-error=5, stale-if-error=3", { staleIfError: 3 }]
  ], (_, __, text, expected) => deepStrictEqual(parseResponseDirectives(text), { ...noDirectives, ...expected }))

  it("RFC 9111 5.2: none, if the field is not there", () =>
    deepStrictEqual(parseResponseDirectives(undefined), noDirectives))
})

describe("Cache-Control of requests", () => {
  const none = parseRequestDirectives(undefined, undefined)

  table<readonly [string, string, string | undefined, string | undefined, Partial<RequestDirectives>]>(
    [
      ["RFC 9111 5.2.1", "nothing", "", undefined, {}],
      ["RFC 9111 5.2.1.1", "max-age", "max-age=5", undefined, { maxAge: 5 }],
      ["RFC 9111 5.2.1.1", "max-age in upper case and in quotes", "MAX-AGE=\"5\"", undefined, { maxAge: 5 }],
      ["RFC 9111 5.2.1.1", "max-age that is malformed accepts nothing old", "max-age=x", undefined, { maxAge: 0 }],
      ["RFC 9111 5.2.1.1", "max-age twice", "max-age=9, max-age=5", undefined, { maxAge: 5 }],
      ["RFC 9111 5.2.1.2", "max-stale", "max-stale=5", undefined, { maxStale: 5 }],
      ["RFC 9111 5.2.1.2", "max-stale without a value: of any age", "max-stale", undefined, { maxStale: longest }],
      ["RFC 9111 5.2.1.2", "max-stale that is malformed accepts nothing stale", "max-stale=x", undefined, {
        maxStale: 0
      }],
      ["RFC 9111 5.2.1.2", "max-stale with an empty value", "max-stale=", undefined, { maxStale: 0 }],
      ["RFC 9111 5.2.1.2", "max-stale with and without a value", "max-stale, max-stale=5", undefined, { maxStale: 5 }],
      ["RFC 9111 5.2.1.3", "min-fresh", "min-fresh=5", undefined, { minFresh: 5 }],
      ["RFC 9111 5.2.1.3", "min-fresh twice: the longer one", "min-fresh=5, min-fresh=9", undefined, { minFresh: 9 }],
      ["RFC 9111 5.2.1.3", "min-fresh that is malformed", "min-fresh=x", undefined, { minFresh: longest }],
      ["RFC 9111 5.2.1.3", "min-fresh without a value", "min-fresh", undefined, { minFresh: longest }],
      ["RFC 9111 5.2.1.3", "min-fresh, one of two malformed", "min-fresh=5, min-fresh", undefined, {
        minFresh: longest
      }],
      ["RFC 9111 5.2.1.4", "no-cache", "no-cache", undefined, { noCache: true }],
      ["RFC 9111 5.2.1.4", "no-cache with a value is no-cache", "no-cache=\"foo\"", undefined, { noCache: true }],
      ["RFC 9111 5.2.1.5", "no-store", "No-Store", undefined, { noStore: true }],
      ["RFC 9111 5.2.1.7", "only-if-cached", "only-if-cached", undefined, { onlyIfCached: true }],
      ["RFC 5861 4", "stale-if-error", "stale-if-error=5", undefined, { staleIfError: 5 }],
      ["RFC 9111 5.4", "Pragma: no-cache without Cache-Control", undefined, "no-cache", { noCache: true }],
      ["RFC 9111 5.4", "Pragma in upper case, among others", undefined, "foo=1, NO-CACHE", { noCache: true }],
      ["RFC 9111 5.4", "Pragma counts for nothing with Cache-Control", "max-age=5", "no-cache", { maxAge: 5 }],
      ["RFC 9111 5.4", "another Pragma", undefined, "no-cachex", {}]
    ],
    (_, __, cacheControl, pragma, expected) =>
      deepStrictEqual(parseRequestDirectives(cacheControl, pragma), { ...none, ...expected })
  )
})

describe("targeted fields", () => {
  table<readonly [string, string, string | undefined, Partial<ResponseDirectives> | undefined]>([
    ["RFC 9213 2.1", "directives", "max-age=5, no-store", { maxAge: 5, noStore: true }],
    ["RFC 9213 2.1", "an Integer", "s-maxage=5;x=1", { sMaxAge: 5 }],
    ["RFC 9213 2.1", "parameters are passed over", "no-store;max-age=5, must-revalidate;x", {
      mustRevalidate: true,
      noStore: true
    }],
    ["RFC 9213 2.1", "a String", "private=\"a, b\"", { private: ["a", "b"] }],
    ["RFC 9213 2.1", "an unknown one", "foo=(1 2), max-age=5", { maxAge: 5 }],
    ["RFC 9651 3.3.6", "false is not there", "no-store=?0, max-age=5", { maxAge: 5 }],
    ["RFC 9651 3.3.6", "true is there", "no-store=?1", { noStore: true }],
    ["RFC 9651 3.2", "of two the last one counts", "max-age=5, max-age=9", { maxAge: 9 }],
    ["RFC 9213 2.1", "a Decimal is no time", "max-age=5.5", { maxAge: 0 }],
    ["RFC 9213 2.1", "a time below zero", "max-age=-5", { maxAge: 0 }],
    ["RFC 9213 2.1", "a Token is no time", "max-age=foo", { maxAge: 0 }],
    ["RFC 9213 2.1", "a time without a value", "max-age", { maxAge: 0 }],
    ["RFC 9213 2.1", "an Inner List is no time", "max-age=(5)", { maxAge: 0 }],
    ["RFC 9213 2.1", "an Inner List of fields is all of them", "private=(\"a\")", { private: true }],
    ["RFC 9213 2.1", "a field that is not there", undefined, undefined],
    ["RFC 9213 2.1", "an empty one is as if it were not there", "", undefined],
    ["RFC 9213 2.1", "one of spaces", "  ", undefined],
    ["RFC 9213 2.1", "one that cannot be read", "max-age=5,", undefined],
    ["RFC 9213 2.1", "one with names in upper case", "Max-Age=5", undefined],
    ["RFC 9213 2.1", "one with quotes that do not end", "private=\"a", undefined],
    ["RFC 9213 2.1", "one with two commas", "no-store,,max-age=5", undefined],
    ["RFC 9213 2.1", "one with an Integer that is too large", "max-age=9999999999999999", undefined]
  ], (_, __, text, expected) =>
    deepStrictEqual(
      parseTargetedDirectives(text),
      expected === undefined ? undefined : { ...noDirectives, ...expected }
    ))

  const targets: Policy = { ...plain, targets: ["my-cache-control", "cdn-cache-control"] }

  table<readonly [string, string, Record<string, string>, number | undefined]>([
    ["RFC 9213 2.2", "the first of the list that is there", {
      "cdn-cache-control": "max-age=2",
      "my-cache-control": "max-age=1",
      "cache-control": "max-age=3"
    }, 1],
    ["RFC 9213 2.2", "another one of the list", { "cdn-cache-control": "max-age=2", "cache-control": "max-age=3" }, 2],
    ["RFC 9213 2.2", "Cache-Control, if there is none", { "cache-control": "max-age=3" }, 3],
    ["RFC 9213 2.2", "the next one, if the first cannot be read", {
      "my-cache-control": "max-age=",
      "cdn-cache-control": "max-age=2"
    }, 2],
    ["RFC 9213 2.2", "Cache-Control, if none can be read", {
      "my-cache-control": "",
      "cdn-cache-control": "=",
      "cache-control": "max-age=3"
    }, 3],
    ["RFC 9213 2.2", "one that is not of the list counts for nothing", { "surrogate-control": "max-age=1" }, undefined],
    ["RFC 9213 2.2", "Cache-Control adds nothing to it", {
      "my-cache-control": "no-cache",
      "cache-control": "max-age=3"
    }, undefined]
  ], (_, __, headers, expected) => assert.strictEqual(directivesOf({ headers }, targets).maxAge, expected))
})

describe("what may be stored", () => {
  interface Case {
    readonly headers?: Record<string, string>
    readonly method?: string
    readonly policy?: Policy
    readonly request?: string
    readonly requestHeaders?: Record<string, string>
    readonly status?: number
    readonly timeToLive?: number
  }
  const cacheControl = (text: string, status = 200): Case => ({ headers: { "cache-control": text }, status })
  const authorized = (text: string | undefined, policy: Policy): Case => ({
    headers: text === undefined ? {} : { "cache-control": text },
    policy,
    requestHeaders: { authorization: "Basic Og==" }
  })
  const check = (_: string, __: string, given: Case, expected: Refusal | "store"): void => {
    const { directives, headers } = asking(given.request, given.requestHeaders)
    const decision = storable(
      { directives, headers, method: given.method ?? "GET" },
      stored(given.headers ?? {}, { status: given.status ?? 200, timeToLive: given.timeToLive }),
      given.policy ?? plain
    )
    assert.strictEqual(decision._tag === "Store" ? "store" : decision.reason, expected)
  }

  const rfc = "RFC 9111 3"
  table<readonly [string, string, Case, Refusal | "store"]>([
    ...[200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501].map((status) =>
      ["RFC 9110 15.1", `a ${status} that says nothing`, { status }, "store"] as const
    ),
    ...[201, 202, 205, 302, 303, 307, 400, 401, 402, 403, 406, 408, 409, 500, 502, 503, 504, 299, 499, 599].map(
      (status) => ["RFC 9110 15.1", `no ${status} that says nothing`, { status }, "not-cacheable"] as const
    ),
    ...[201, 202, 299, 302, 303, 307, 400, 401, 403, 499, 500, 502, 503, 504, 599].map((status) =>
      [rfc, `a ${status} with max-age`, cacheControl("max-age=5", status), "store"] as const
    ),
    ...[100, 101, 103].map((status) =>
      [rfc, `no ${status}, which is not final`, cacheControl("max-age=5", status), "status"] as const
    ),
    [rfc, "no 304, which is no response of its own", cacheControl("max-age=5", 304), "status"],
    ["RFC 9110 15.5.17", "no 416, which is of one Range", cacheControl("max-age=5", 416), "status"],
    [rfc, "a 302 with Expires", { headers: { expires: imfDate(noon + hour) }, status: 302 }, "store"],
    [rfc, "a 302 with an Expires that is none", { headers: { expires: "0" }, status: 302 }, "store"],
    [rfc, "a 302 with public", cacheControl("public", 302), "store"],
    [rfc, "a 302 with private in a private cache", cacheControl("private", 302), "store"],
    [rfc, "a 302 with max-age=0, to be validated", cacheControl("max-age=0", 302), "store"],
    [rfc, "no 302 with s-maxage alone in a private cache", cacheControl("s-maxage=5", 302), "not-cacheable"],
    [rfc, "a 302 with s-maxage in a shared cache", { ...cacheControl("s-maxage=5", 302), policy: shared }, "store"],
    [rfc, "no 302 with an unknown directive", cacheControl("foo=5", 302), "not-cacheable"],
    [rfc, "no 302 with a validator alone", { headers: { etag: "\"a\"" }, status: 302 }, "not-cacheable"],
    ["RFC 9111 5.2.2.5", "no response with no-store", cacheControl("no-store"), "response-no-store"],
    ["RFC 9111 5.2.2.5", "nor with No-Store", cacheControl("No-Store"), "response-no-store"],
    ["RFC 9111 5.2.2.5", "nor with no-store and max-age", cacheControl("max-age=5, no-store"), "response-no-store"],
    ["RFC 9111 5.2.2.5", "nor with no-store and public", cacheControl("no-store, public"), "response-no-store"],
    ["RFC 9111 5.2.2.5", "nor with no-store between others", cacheControl("a, no-store ,b"), "response-no-store"],
    ["RFC 9111 5.2.1.5", "no response to no-store", { request: "no-store" }, "request-no-store"],
    ["RFC 9111 5.2.1.5", "nor with max-age", { ...cacheControl("max-age=5"), request: "no-store" }, "request-no-store"],
    ["RFC 9111 5.2.1.4", "a response to no-cache", { request: "no-cache" }, "store"],
    ["RFC 9111 5.2.2.4", "a response with no-cache", cacheControl("no-cache"), "store"],
    ["RFC 9111 5.2.2.4", "a response with no-cache of a field", cacheControl("no-cache=\"a\""), "store"],
    ["RFC 9111 5.2.2.7", "private, in a private cache", cacheControl("private, max-age=5"), "store"],
    ["RFC 9111 5.2.2.7", "not private, in a shared cache", { ...cacheControl("private"), policy: shared }, "private"],
    ["RFC 9111 5.2.2.7", "not private, though public", {
      ...cacheControl("public, private, s-maxage=5"),
      policy: shared
    }, "private"],
    ["RFC 9111 5.2.2.7", "private of a field, in a shared cache", {
      ...cacheControl("private=\"a\""),
      policy: shared
    }, "store"],
    ["RFC 9111 5.2.2.7", "private in upper case", { ...cacheControl("PRIVATE"), policy: shared }, "private"],
    ["RFC 9111 3.5", "an authorised response, in a private cache", authorized(undefined, plain), "store"],
    ["RFC 9111 3.5", "no authorised response, in a shared cache", authorized(undefined, shared), "authorization"],
    ["RFC 9111 3.5", "nor with max-age", authorized("max-age=5", shared), "authorization"],
    ["RFC 9111 3.5", "nor with proxy-revalidate", authorized("proxy-revalidate", shared), "authorization"],
    ["RFC 9111 3.5", "nor with no-cache", authorized("no-cache", shared), "authorization"],
    ["RFC 9111 3.5", "but with public", authorized("public", shared), "store"],
    ["RFC 9111 3.5", "but with s-maxage", authorized("s-maxage=5", shared), "store"],
    ["RFC 9111 3.5", "but with must-revalidate", authorized("must-revalidate", shared), "store"],
    ["RFC 9111 3.5", "not with public and private", authorized("public, private", shared), "private"],
    ["RFC 9111 5.2.2.3", "must-understand stands above no-store", cacheControl("must-understand, no-store"), "store"],
    ["RFC 9111 5.2.2.3", "must-understand alone", cacheControl("must-understand"), "store"],
    ["RFC 9111 5.2.2.3", "not a status that is not understood", {
      ...cacheControl("must-understand, max-age=5", 299)
    }, "not-understood"],
    [
      "RFC 9111 5.2.2.3",
      "nor with no-store",
      cacheControl("must-understand, no-store, max-age=5", 499),
      "not-understood"
    ],
    ["RFC 9111 5.2.2.3", "a request's no-store stands above it", {
      ...cacheControl("must-understand"),
      request: "no-store"
    }, "request-no-store"],
    ["RFC 9111 4.1", "not Vary: *", { headers: { "cache-control": "max-age=5", vary: "*" } }, "vary"],
    ["RFC 9111 4.1", "nor * among others", { headers: { vary: "Accept, *" } }, "vary"],
    ["RFC 9111 4.1", "nor * before others", { headers: { vary: " * ,accept" } }, "vary"],
    ["RFC 9111 4.1", "but a Vary of fields", { headers: { vary: "Accept, Accept-Encoding" } }, "store"],
    ["RFC 9111 3.3", "a 206", { headers: { "content-range": "bytes 0-4/10" }, status: 206 }, "store"],
    ["RFC 9111 3.3", "no 206 without Content-Range", cacheControl("max-age=5", 206), "partial"],
    [
      "RFC 9111 3.3",
      "no 206 of another unit",
      { headers: { "content-range": "lines 0-4/10" }, status: 206 },
      "partial"
    ],
    [
      "RFC 9110 14.4",
      "no 206 whose range is none",
      { headers: { "content-range": "bytes 4-0/10" }, status: 206 },
      "partial"
    ],
    ["RFC 9110 14.6", "no 206 of several parts", {
      headers: { "content-type": "multipart/byteranges; boundary=x" },
      status: 206
    }, "partial"],
    ["RFC 9110 9.3.3", "no response to POST that says nothing", { method: "POST" }, "method"],
    ["RFC 9110 9.3.3", "nor with public alone", { ...cacheControl("public"), method: "POST" }, "method"],
    ["RFC 9110 9.3.3", "a response to POST with max-age", { ...cacheControl("max-age=5"), method: "POST" }, "store"],
    ["RFC 9110 9.3.3", "a response to POST with Expires", {
      headers: { expires: imfDate(noon + hour) },
      method: "POST"
    }, "store"],
    ["RFC 9110 9.3.2", "a response to HEAD", { ...cacheControl("max-age=5"), method: "HEAD" }, "store"],
    [
      "options",
      "a status that is not wanted",
      { policy: { ...plain, isStatus: (status) => status !== 200 } },
      "status"
    ],
    ["options", "a status that may not be stored, though it is wanted", {
      policy: { ...plain, isStatus: () => true },
      status: 304
    }, "status"],
    ["options", "a timeToLive", { status: 302, timeToLive: 5 }, "not-cacheable"],
    ["options", "a timeToLive, for what may be guessed about", { status: 404, timeToLive: 5 }, "store"],
    ["options", "a timeToLive of zero", { timeToLive: 0 }, "time-to-live"],
    ["options", "a timeToLive of zero counts for nothing beside max-age", {
      ...cacheControl("max-age=5"),
      timeToLive: 0
    }, "store"],
    [
      "options",
      "a timeToLive counts for nothing beside no-store",
      { ...cacheControl("no-store"), timeToLive: 5 },
      "response-no-store"
    ],
    ["options", "cacheControl: ignore, of no-store", {
      ...cacheControl("no-store"),
      policy: { ...plain, ignores: true }
    }, "store"],
    ["options", "cacheControl: ignore, of max-age", {
      ...cacheControl("max-age=5", 302),
      policy: { ...plain, ignores: true }
    }, "not-cacheable"],
    ["options", "cacheControl: ignore, not of the request", {
      policy: { ...plain, ignores: true },
      request: "no-store"
    }, "request-no-store"],
    ["RFC 9213 2.2", "a targeted field stands above no-store", {
      headers: { "cache-control": "no-store", "cdn-cache-control": "max-age=5" },
      policy: { ...shared, targets: ["cdn-cache-control"] }
    }, "store"],
    ["RFC 9213 2.2", "a targeted field with no-store", {
      headers: { "cache-control": "max-age=5", "cdn-cache-control": "no-store" },
      policy: { ...shared, targets: ["cdn-cache-control"] }
    }, "response-no-store"],
    ["RFC 9213 2.2", "a targeted field stands above Expires", {
      headers: { "cdn-cache-control": "foo", expires: imfDate(noon + hour) },
      policy: { ...shared, targets: ["cdn-cache-control"] },
      status: 302
    }, "not-cacheable"]
  ], check)
})

describe("how long a response is fresh", () => {
  type Source = Lifetime["source"]
  interface Case {
    readonly headers: Record<string, string>
    readonly more?: Partial<HttpCacheStore.StoredResponse>
    readonly policy?: Policy
  }
  const of = (headers: Record<string, string>, policy: Policy = plain): Case => ({ headers, policy })
  const date = imfDate(noon)
  const lasting = imfDate(noon - 100 * day)
  const rfc = "RFC 9111 4.2.1"

  table<readonly [string, string, Case, Source, number]>(
    [
      [rfc, "max-age", of({ "cache-control": "max-age=60" }), "max-age", minute],
      [
        rfc,
        "s-maxage, in a shared cache",
        of({ "cache-control": "max-age=60, s-maxage=5" }, shared),
        "s-maxage",
        5 * second
      ],
      [rfc, "not s-maxage, in a private cache", of({ "cache-control": "max-age=60, s-maxage=5" }), "max-age", minute],
      [rfc, "s-maxage of zero", of({ "cache-control": "max-age=60, s-maxage=0" }, shared), "s-maxage", 0],
      [rfc, "s-maxage that is malformed", of({ "cache-control": "max-age=60, s-maxage=x" }, shared), "s-maxage", 0],
      [
        rfc,
        "max-age before Expires",
        of({
          "cache-control": "max-age=60",
          date,
          expires: imfDate(noon + hour)
        }),
        "max-age",
        minute
      ],
      [
        "RFC 9111 5.3",
        "max-age before an Expires that is none",
        of({
          "cache-control": "max-age=60",
          expires: "0"
        }),
        "max-age",
        minute
      ],
      [
        "RFC 9111 5.3",
        "max-age of zero before Expires",
        of({
          "cache-control": "max-age=0",
          expires: imfDate(noon + hour)
        }),
        "max-age",
        0
      ],
      [
        rfc,
        "s-maxage before Expires",
        of({ "cache-control": "s-maxage=60", expires: "0" }, shared),
        "s-maxage",
        minute
      ],
      [
        "RFC 9111 5.3",
        "s-maxage counts for nothing beside Expires, in a private cache",
        of({
          "cache-control": "s-maxage=60",
          date,
          expires: imfDate(noon + hour)
        }),
        "expires",
        hour
      ],
      ["RFC 9111 5.3", "Expires, counted from Date", of({ date, expires: imfDate(noon + hour) }), "expires", hour],
      [
        "RFC 9111 5.3",
        "Expires, counted from a Date in the past",
        of({
          date: imfDate(noon - hour),
          expires: imfDate(noon + hour)
        }),
        "expires",
        2 * hour
      ],
      [
        "RFC 9111 5.3",
        "Expires without Date, counted from when it came",
        of({
          expires: imfDate(noon + hour)
        }),
        "expires",
        hour
      ],
      [
        "RFC 9111 5.3",
        "Expires, with a Date that is none",
        of({ date: "x", expires: imfDate(noon + hour) }),
        "expires",
        hour
      ],
      ["RFC 9111 5.3", "Expires in the past", of({ date, expires: imfDate(noon - hour) }), "expires", 0],
      ["RFC 9111 5.3", "Expires that is Date", of({ date, expires: date }), "expires", 0],
      ["RFC 9111 5.3", "Expires: 0", of({ date, expires: "0" }), "expires", 0],
      ["RFC 9111 5.3", "an empty Expires", of({ date, expires: "" }), "expires", 0],
      [
        "RFC 9111 5.3",
        "Expires in lower case",
        of({ date, expires: imfDate(noon + hour).toLowerCase() }),
        "expires",
        hour
      ],
      [
        "RFC 9111 5.3",
        "Expires as an rfc850-date",
        of({ date, expires: "Wednesday, 15-Jan-25 13:00:00 GMT" }),
        "expires",
        hour
      ],
      [
        "RFC 9111 5.3",
        "Expires as an asctime-date",
        of({ date, expires: "Wed Jan 15 13:00:00 2025" }),
        "expires",
        hour
      ],
      [
        "RFC 9111 4.2.1",
        "Expires twice is stale",
        of({
          date,
          expires: `${imfDate(noon + hour)}, ${imfDate(noon + hour)}`
        }),
        "expires",
        0
      ],
      [
        "RFC 9111 5.3",
        "an Expires that is none stands before heuristics",
        of({
          date,
          expires: "x",
          "last-modified": lasting
        }),
        "expires",
        0
      ],
      [rfc, "nothing", of({}), "none", 0],
      [rfc, "no-cache leaves it as it is", of({ "cache-control": "no-cache, max-age=60" }), "max-age", minute],
      [
        "RFC 9111 4.2.2",
        "a tenth of the time since it was modified",
        of({
          date,
          "last-modified": imfDate(noon - 10 * hour)
        }),
        "heuristic",
        hour
      ],
      ["RFC 9111 4.2.2", "at most what is set", of({ date, "last-modified": lasting }), "heuristic", 7 * day],
      [
        "RFC 9111 4.2.2",
        "counted from Date, not from when it came",
        of({
          date: imfDate(noon - hour),
          "last-modified": imfDate(noon - 11 * hour)
        }),
        "heuristic",
        hour
      ],
      ["RFC 9111 4.2.2", "modified in the future", of({ date, "last-modified": imfDate(noon + hour) }), "none", 0],
      ["RFC 9111 4.2.2", "modified right now", of({ date, "last-modified": date }), "none", 0],
      ["RFC 9111 4.2.2", "modified at no date", of({ date, "last-modified": "yesterday" }), "none", 0],
      [
        "RFC 9111 4.2.2",
        "no heuristics for other statuses",
        {
          headers: { date, "last-modified": lasting },
          more: { status: 302 }
        },
        "none",
        0
      ],
      [
        "RFC 9111 4.2.2",
        "no heuristics for a 500",
        {
          headers: { date, "last-modified": lasting },
          more: { status: 500 }
        },
        "none",
        0
      ],
      [
        "RFC 9111 4.2.2",
        "heuristics for other statuses with public",
        {
          headers: { "cache-control": "public", date, "last-modified": imfDate(noon - 10 * hour) },
          more: { status: 302 }
        },
        "heuristic",
        hour
      ],
      [
        "RFC 9111 4.2.2",
        "heuristics for a 404",
        {
          headers: { date, "last-modified": imfDate(noon - 10 * hour) },
          more: { status: 404 }
        },
        "heuristic",
        hour
      ],
      [
        "RFC 9111 4.2.2",
        "no heuristics beside max-age",
        of({
          "cache-control": "max-age=0",
          date,
          "last-modified": lasting
        }),
        "max-age",
        0
      ],
      [
        "RFC 9111 4.2.2",
        "none, if they are off",
        of({ date, "last-modified": lasting }, {
          ...plain,
          heuristics: undefined
        }),
        "none",
        0
      ],
      [
        "RFC 9111 4.2.2",
        "another fraction",
        of({ date, "last-modified": imfDate(noon - 10 * hour) }, {
          ...plain,
          heuristics: { atMost: day, fraction: 0.5 }
        }),
        "heuristic",
        5 * hour
      ],
      ["options", "timeToLive", { headers: {}, more: { timeToLive: minute } }, "timeToLive", minute],
      [
        "options",
        "max-age before timeToLive",
        {
          headers: { "cache-control": "max-age=5" },
          more: { timeToLive: minute }
        },
        "max-age",
        5 * second
      ],
      [
        "options",
        "max-age of zero before timeToLive",
        {
          headers: { "cache-control": "max-age=0" },
          more: { timeToLive: minute }
        },
        "max-age",
        0
      ],
      [
        "options",
        "Expires before timeToLive",
        {
          headers: { date, expires: imfDate(noon + hour) },
          more: { timeToLive: minute }
        },
        "expires",
        hour
      ],
      [
        "options",
        "timeToLive before heuristics",
        {
          headers: { date, "last-modified": lasting },
          more: { timeToLive: minute }
        },
        "timeToLive",
        minute
      ],
      [
        "options",
        "cacheControl: ignore, of max-age",
        {
          headers: { "cache-control": "max-age=5" },
          more: { timeToLive: minute },
          policy: { ...plain, ignores: true }
        },
        "timeToLive",
        minute
      ],
      [
        "options",
        "cacheControl: ignore, of Expires",
        {
          headers: { expires: "0" },
          more: { timeToLive: minute },
          policy: { ...plain, ignores: true }
        },
        "timeToLive",
        minute
      ],
      [
        "options",
        "cacheControl: ignore, of s-maxage",
        of({ "cache-control": "s-maxage=5" }, {
          ...shared,
          ignores: true
        }),
        "none",
        0
      ],
      [
        "options",
        "cacheControl: ignore, of a targeted field",
        of({ "cdn-cache-control": "max-age=5" }, {
          ...plain,
          ignores: true,
          targets: ["cdn-cache-control"]
        }),
        "none",
        0
      ],
      [
        "RFC 9213 2.2",
        "a targeted field before Cache-Control",
        of({
          "cache-control": "max-age=60",
          "cdn-cache-control": "max-age=5"
        }, { ...plain, targets: ["cdn-cache-control"] }),
        "max-age",
        5 * second
      ],
      [
        "RFC 9213 2.2",
        "Expires counts for nothing beside a targeted field",
        of({
          "cdn-cache-control": "must-revalidate",
          expires: imfDate(noon + hour)
        }, { ...plain, targets: ["cdn-cache-control"] }),
        "none",
        0
      ],
      ["RFC 9111 1.2.2", "for ever", of({ "cache-control": `max-age=${"9".repeat(30)}` }), "max-age", longest * second]
    ],
    (_, __, { headers, more, policy = plain }, source, millis) =>
      deepStrictEqual(lifetimeOf(stored(headers, more), policy), { millis, source })
  )
})

describe("how old a response is", () => {
  interface Case {
    readonly age?: string
    readonly date?: number | string
    /** How long it took to come. */
    readonly delay?: number
    /** How long it has been there. */
    readonly resident?: number
  }
  const rfc = "RFC 9111 4.2.3"
  const field = "RFC 9111 5.1"

  table<readonly [string, string, Case, number]>([
    [rfc, "nothing is known, and it came now", {}, 0],
    [rfc, "resident_time", { resident: minute }, minute],
    [rfc, "age_value", { age: "30" }, 30 * second],
    [rfc, "age_value and resident_time", { age: "30", resident: minute }, 90 * second],
    [rfc, "response_delay", { delay: 5 * second }, 5 * second],
    [rfc, "response_delay is added to age_value", { age: "30", delay: 5 * second }, 35 * second],
    [rfc, "apparent_age", { date: noon - 40 * second }, 40 * second],
    [rfc, "apparent_age and resident_time", { date: noon - 40 * second, resident: minute }, 100 * second],
    [rfc, "apparent_age, which is more than age_value", { age: "30", date: noon - 40 * second }, 40 * second],
    [rfc, "age_value, which is more than apparent_age", { age: "50", date: noon - 40 * second }, 50 * second],
    [rfc, "apparent_age, which is more than response_delay", {
      date: noon - 40 * second,
      delay: 5 * second
    }, 40 * second],
    [rfc, "age_value with response_delay, which is more than apparent_age", {
      age: "38",
      date: noon - 40 * second,
      delay: 5 * second
    }, 43 * second],
    [rfc, "a Date in the future says nothing", { date: noon + hour, resident: minute }, minute],
    [rfc, "a Date that is none says nothing", { date: "x", resident: minute }, minute],
    [rfc, "a response that came before it was asked for took no time", { delay: -minute }, 0],
    [rfc, "a clock that goes back makes nothing younger", { age: "30", resident: -hour }, 30 * second],
    [field, "zero", { age: "0" }, 0],
    [field, "zeros before it", { age: "007" }, 7 * second],
    [field, "whitespace around it", { age: " 7\t" }, 7 * second],
    [field, "the first member of several", { age: "7, 100" }, 7 * second],
    [field, "the first member, whatever the others are", { age: "7, x" }, 7 * second],
    [field, "nothing, if the first member is none", { age: "x, 7" }, 0],
    [field, "nothing, if the first member is empty", { age: ", 7" }, 0],
    [field, "nothing, if it is below zero", { age: "-7" }, 0],
    [field, "nothing, if it has a sign", { age: "+7" }, 0],
    [field, "nothing, if it is a decimal", { age: "7.0" }, 0],
    [field, "nothing, if it has a parameter", { age: "7;x=1" }, 0],
    [field, "nothing, if it is in quotes", { age: "\"7\"" }, 0],
    [field, "nothing, if there is something behind it", { age: "7 8" }, 0],
    [field, "nothing, if it is empty", { age: "" }, 0],
    ["RFC 9111 1.2.2", "one that is too large is for ever", { age: "9".repeat(40) }, longest * second]
  ], (_, __, { age, date, delay = 0, resident = 0 }, expected) => {
    const headers = {
      ...(age === undefined ? {} : { age }),
      ...(date === undefined ? {} : { date: typeof date === "string" ? date : imfDate(date) })
    }
    assert.strictEqual(ageOf(stored(headers, { requestTime: noon - delay }), noon + resident), expected)
  })
})

describe("whether a stored response is used", () => {
  type Expected = "fresh" | `stale ${string}` | `revalidate ${string}`
  interface Case {
    readonly age: number
    readonly mode?: "any" | "default" | "validate"
    readonly policy?: Policy
    readonly request?: string
    readonly response: string
  }
  const shownOf = (decision: Decision): string =>
    decision._tag === "Fresh" ? "fresh" : `${decision._tag.toLowerCase()} ${decision.reason}`
  const fresh = (request: string | undefined, response = "max-age=60", age = 30): Case => ({
    age,
    ...(request === undefined ? {} : { request }),
    response
  })
  const stale = (request: string | undefined, response = "max-age=60", age = 90): Case => fresh(request, response, age)

  table<readonly [string, string, Case, Expected]>([
    ["RFC 9111 4.2", "fresh", fresh(undefined), "fresh"],
    ["RFC 9111 4.2", "fresh to the last second", fresh(undefined, "max-age=60", 59), "fresh"],
    ["RFC 9111 4.2", "stale, when its age is its lifetime", fresh(undefined, "max-age=60", 60), "revalidate stale"],
    ["RFC 9111 4.2", "stale", stale(undefined), "revalidate stale"],
    ["RFC 9111 4.2", "max-age of zero is stale at once", fresh(undefined, "max-age=0", 0), "revalidate stale"],
    ["RFC 9111 4.2", "nothing that tells is stale at once", fresh(undefined, "public", 0), "revalidate stale"],
    ["RFC 9111 4.2.3", "fresh, when a clock is a little behind", fresh(undefined, "max-age=60", -60), "fresh"],
    ["beyond RFC 9111 4.2.3", "not when it has gone back far", fresh(undefined, "max-age=60", -61), "revalidate stale"],
    ["RFC 9111 5.2.1.1", "max-age of more than the age", fresh("max-age=31"), "fresh"],
    ["RFC 9111 5.2.1.1", "max-age of the age", fresh("max-age=30"), "fresh"],
    ["RFC 9111 5.2.1.1", "max-age of less than the age", fresh("max-age=29"), "revalidate request-max-age"],
    ["RFC 9111 5.2.1.1", "max-age of zero", fresh("max-age=0"), "revalidate request-max-age"],
    ["RFC 9111 5.2.1.1", "max-age does not make fresh what is stale", stale("max-age=1000"), "revalidate stale"],
    ["RFC 9111 5.2.1.1", "max-age that is malformed", fresh("max-age=x"), "revalidate request-max-age"],
    ["RFC 9111 5.2.1.3", "min-fresh of what is left", fresh("min-fresh=30"), "fresh"],
    ["RFC 9111 5.2.1.3", "min-fresh of more than is left", fresh("min-fresh=31"), "revalidate request-min-fresh"],
    ["RFC 9111 5.2.1.3", "min-fresh of zero", fresh("min-fresh=0"), "fresh"],
    ["RFC 9111 5.2.1.3", "min-fresh of what is stale", stale("min-fresh=1"), "revalidate request-min-fresh"],
    ["RFC 9111 5.2.1.3", "min-fresh that is malformed", fresh("min-fresh"), "revalidate request-min-fresh"],
    ["RFC 9111 5.2.1.2", "max-stale of more than the staleness", stale("max-stale=31"), "stale max-stale"],
    ["RFC 9111 5.2.1.2", "max-stale of the staleness", stale("max-stale=30"), "stale max-stale"],
    ["RFC 9111 5.2.1.2", "max-stale of less than the staleness", stale("max-stale=29"), "revalidate stale"],
    ["RFC 9111 5.2.1.2", "max-stale of any", stale("max-stale", "max-age=60", 1e6), "stale max-stale"],
    ["RFC 9111 5.2.1.2", "max-stale that is malformed", stale("max-stale=x"), "revalidate stale"],
    ["RFC 9111 5.2.1.2", "max-stale of what is fresh", fresh("max-stale=5"), "fresh"],
    ["RFC 9111 5.2.1.1", "max-stale and max-age", stale("max-stale=30, max-age=90"), "stale max-stale"],
    [
      "RFC 9111 5.2.1.1",
      "max-stale, but older than max-age",
      stale("max-stale=30, max-age=89"),
      "revalidate request-max-age"
    ],
    ["RFC 9111 5.2.1.4", "no-cache", fresh("no-cache"), "revalidate request-no-cache"],
    ["RFC 9111 5.2.1.4", "no-cache, with max-stale", stale("no-cache, max-stale"), "revalidate request-no-cache"],
    ["RFC 9111 5.2.1.7", "only-if-cached changes nothing of it", fresh("only-if-cached"), "fresh"],
    [
      "RFC 9111 5.2.2.4",
      "no-cache of the response",
      fresh(undefined, "no-cache, max-age=60"),
      "revalidate response-no-cache"
    ],
    [
      "RFC 9111 5.2.2.4",
      "no-cache of the response, in upper case",
      fresh(undefined, "NO-CACHE, max-age=60"),
      "revalidate response-no-cache"
    ],
    [
      "RFC 9111 5.2.2.4",
      "no-cache of the response, with max-stale",
      fresh("max-stale", "no-cache, max-age=60"),
      "revalidate response-no-cache"
    ],
    ["RFC 9111 5.2.2.4", "no-cache of a field", fresh(undefined, "no-cache=\"a\", max-age=60"), "fresh"],
    [
      "RFC 9111 5.2.2.3",
      "must-understand with no-store",
      fresh(undefined, "must-understand, no-store, max-age=60"),
      "fresh"
    ],
    [
      "RFC 9111 5.2.2.5",
      "no-store that came with a 304",
      fresh(undefined, "no-store, max-age=60"),
      "revalidate response-no-cache"
    ],
    ["RFC 9111 5.2.2.2", "must-revalidate of what is fresh", fresh(undefined, "must-revalidate, max-age=60"), "fresh"],
    [
      "RFC 9111 5.2.2.2",
      "must-revalidate of what is stale",
      stale("max-stale", "must-revalidate, max-age=60"),
      "revalidate stale"
    ],
    [
      "RFC 9111 5.2.2.2",
      "must-revalidate in upper case",
      stale("max-stale", "MUST-REVALIDATE, max-age=60"),
      "revalidate stale"
    ],
    [
      "RFC 9111 5.2.2.8",
      "proxy-revalidate, in a private cache",
      stale("max-stale", "proxy-revalidate, max-age=60"),
      "stale max-stale"
    ],
    ["RFC 9111 5.2.2.8", "proxy-revalidate, in a shared cache", {
      ...stale("max-stale", "proxy-revalidate, max-age=60"),
      policy: shared
    }, "revalidate stale"],
    ["RFC 9111 5.2.2.10", "s-maxage, in a shared cache", {
      ...stale("max-stale", "s-maxage=60"),
      policy: shared
    }, "revalidate stale"],
    [
      "RFC 9111 5.2.2.10",
      "s-maxage, in a private cache",
      stale("max-stale", "s-maxage=60, max-age=60"),
      "stale max-stale"
    ],
    [
      "RFC 5861 3",
      "stale-while-revalidate",
      stale(undefined, "max-age=60, stale-while-revalidate=31"),
      "stale stale-while-revalidate"
    ],
    [
      "RFC 5861 3",
      "stale-while-revalidate that is over",
      stale(undefined, "max-age=60, stale-while-revalidate=29"),
      "revalidate stale"
    ],
    [
      "RFC 5861 3",
      "stale-while-revalidate of what is fresh",
      fresh(undefined, "max-age=60, stale-while-revalidate=9"),
      "fresh"
    ],
    [
      "RFC 5861 3",
      "stale-while-revalidate that is malformed",
      stale(undefined, "max-age=60, stale-while-revalidate"),
      "revalidate stale"
    ],
    [
      "RFC 9111 5.2.2.2",
      "stale-while-revalidate with must-revalidate",
      stale(undefined, "max-age=60, stale-while-revalidate=99, must-revalidate"),
      "revalidate stale"
    ],
    [
      "RFC 9111 5.2.2.4",
      "stale-while-revalidate with no-cache",
      stale(undefined, "max-age=60, stale-while-revalidate=99, no-cache"),
      "revalidate response-no-cache"
    ],
    [
      "RFC 9111 5.2.1.1",
      "stale-while-revalidate for a request with max-age",
      stale("max-age=1000", "max-age=60, stale-while-revalidate=99"),
      "revalidate stale"
    ],
    [
      "RFC 9111 5.2.1.3",
      "stale-while-revalidate for a request with min-fresh",
      stale("min-fresh=1", "max-age=60, stale-while-revalidate=99"),
      "revalidate request-min-fresh"
    ],
    [
      "options",
      "staleWhileRevalidate",
      { ...stale(undefined), policy: { ...plain, staleWhileRevalidate: minute } },
      "stale stale-while-revalidate"
    ],
    ["options", "staleWhileRevalidate that is over", {
      ...stale(undefined),
      policy: { ...plain, staleWhileRevalidate: second }
    }, "revalidate stale"],
    ["options", "stale-while-revalidate before staleWhileRevalidate", {
      ...stale(undefined, "max-age=60, stale-while-revalidate=0"),
      policy: { ...plain, staleWhileRevalidate: minute }
    }, "revalidate stale"],
    ["options", "staleWhileRevalidate with must-revalidate", {
      ...stale(undefined, "max-age=60, must-revalidate"),
      policy: { ...plain, staleWhileRevalidate: minute }
    }, "revalidate stale"],
    ["RFC 8246 2", "immutable, reloaded by max-age=0", fresh("max-age=0", "max-age=60, immutable"), "fresh"],
    [
      "RFC 8246 2",
      "immutable that is stale, reloaded",
      stale("max-age=0", "max-age=60, immutable"),
      "revalidate request-max-age"
    ],
    ["RFC 8246 2", "immutable that is stale", stale(undefined, "max-age=60, immutable"), "revalidate stale"],
    [
      "RFC 8246 2",
      "immutable, for another max-age",
      fresh("max-age=5", "max-age=60, immutable"),
      "revalidate request-max-age"
    ],
    [
      "RFC 9111 5.2.1.4",
      "immutable, with no-cache",
      fresh("no-cache", "max-age=60, immutable"),
      "revalidate request-no-cache"
    ],
    ["mode no-cache", "what is fresh", { ...fresh(undefined), mode: "validate" }, "revalidate request-no-cache"],
    ["mode no-cache", "what is fresh and immutable", {
      ...fresh(undefined, "max-age=60, immutable"),
      mode: "validate"
    }, "fresh"],
    ["mode no-cache", "what is stale and immutable", {
      ...stale(undefined, "max-age=60, immutable"),
      mode: "validate"
    }, "revalidate request-no-cache"],
    ["mode force-cache", "what is fresh", { ...fresh(undefined), mode: "any" }, "fresh"],
    ["mode force-cache", "what is stale", { ...stale(undefined), mode: "any" }, "stale asked"],
    [
      "mode force-cache",
      "must-revalidate",
      { ...stale(undefined, "max-age=60, must-revalidate"), mode: "any" },
      "stale asked"
    ],
    ["mode force-cache", "no-cache", { ...fresh(undefined, "max-age=60, no-cache"), mode: "any" }, "fresh"],
    ["options", "cacheControl: ignore, of no-cache", {
      ...fresh(undefined, "no-cache, max-age=60", 0),
      policy: { ...plain, ignores: true }
    }, "revalidate stale"]
  ], (_, __, { age, mode = "default", policy = plain, request, response }, expected) => {
    const decision = evaluate(
      asking(request).directives,
      stored({ "cache-control": response }),
      noon + age * second,
      policy,
      mode
    )
    assert.strictEqual(shownOf(decision), expected)
    assert.strictEqual(decision.age, Math.max(0, age) * second)
  })
})

describe("whether a stale response stands in for an error", () => {
  interface Case {
    readonly failure?: "disconnected" | "error"
    readonly policy?: Policy
    readonly request?: string
    readonly response: string
  }
  const day1: Policy = { ...plain, staleIfError: day }

  // All are stale since 30 seconds.
  table<readonly [string, string, Case, boolean]>([
    ["RFC 5861 4", "stale-if-error", { response: "max-age=60, stale-if-error=31" }, true],
    ["RFC 5861 4", "stale-if-error that is over", { response: "max-age=60, stale-if-error=29" }, false],
    ["RFC 5861 4", "stale-if-error that is malformed", { response: "max-age=60, stale-if-error" }, false],
    ["RFC 5861 4", "stale-if-error of the request", { request: "stale-if-error=31", response: "max-age=60" }, true],
    ["RFC 5861 4", "stale-if-error of the request that is over", {
      request: "stale-if-error=29",
      response: "max-age=60"
    }, false],
    ["RFC 5861 4", "stale-if-error, when the origin cannot be reached", {
      failure: "disconnected",
      response: "max-age=60, stale-if-error=31"
    }, true],
    ["RFC 9111 4.2.4", "nothing that tells, for an error", { response: "max-age=60" }, false],
    ["RFC 9111 4.2.4", "nothing that tells, when the origin cannot be reached", {
      failure: "disconnected",
      response: "max-age=60"
    }, true],
    ["RFC 9111 4.2.4", "nothing that tells, after staleIfDisconnected", {
      failure: "disconnected",
      policy: { ...plain, staleIfDisconnected: second },
      response: "max-age=60"
    }, false],
    [
      "RFC 9111 5.2.2.2",
      "not with must-revalidate",
      { response: "max-age=60, stale-if-error=99, must-revalidate" },
      false
    ],
    ["RFC 9111 5.2.2.2", "not with must-revalidate, when the origin cannot be reached", {
      failure: "disconnected",
      response: "max-age=60, must-revalidate"
    }, false],
    ["RFC 9111 5.2.2.4", "not with no-cache", { response: "max-age=60, stale-if-error=99, no-cache" }, false],
    [
      "RFC 9111 5.2.2.4",
      "with no-cache of a field",
      { response: "max-age=60, stale-if-error=99, no-cache=\"a\"" },
      true
    ],
    ["RFC 9111 5.2.2.8", "with proxy-revalidate, in a private cache", {
      response: "max-age=60, stale-if-error=99, proxy-revalidate"
    }, true],
    ["RFC 9111 5.2.2.8", "not with proxy-revalidate, in a shared cache", {
      policy: shared,
      response: "max-age=60, stale-if-error=99, proxy-revalidate"
    }, false],
    ["RFC 9111 5.2.2.10", "not with s-maxage, in a shared cache", {
      policy: shared,
      response: "s-maxage=60, stale-if-error=99"
    }, false],
    ["RFC 9111 5.2.1.4", "not for a request with no-cache", {
      request: "no-cache",
      response: "max-age=60, stale-if-error=99"
    }, false],
    ["RFC 9111 5.2.1.3", "not for a request with min-fresh", {
      request: "min-fresh=1",
      response: "max-age=60, stale-if-error=99"
    }, false],
    ["RFC 9111 5.2.1.1", "not for a request with a lower max-age", {
      request: "max-age=89",
      response: "max-age=60, stale-if-error=99"
    }, false],
    ["options", "staleIfError", { policy: day1, response: "max-age=60" }, true],
    [
      "options",
      "staleIfError that is over",
      { policy: { ...plain, staleIfError: second }, response: "max-age=60" },
      false
    ],
    [
      "options",
      "stale-if-error before staleIfError",
      { policy: day1, response: "max-age=60, stale-if-error=1" },
      false
    ],
    ["options", "staleIfError with must-revalidate", { policy: day1, response: "max-age=60, must-revalidate" }, false],
    ["options", "staleIfError, when the origin cannot be reached", {
      failure: "disconnected",
      policy: { ...day1, staleIfDisconnected: 0 },
      response: "max-age=60"
    }, true]
  ], (_, __, { failure = "error", policy = plain, request, response }, expected) =>
    assert.strictEqual(
      standsIn(
        asking(request).directives,
        stored({ "cache-control": response }),
        noon + 90 * second,
        policy,
        failure
      ),
      expected
    ))
})
