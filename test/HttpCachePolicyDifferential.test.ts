/**
 * The policy of the HTTP cache beside that of `http-cache-semantics`, for what both are right about.
 *
 * These are left out, because there the other one does not do what the RFCs say, or has rules of its own:
 *
 * - names in upper case, quotes, qualified `no-cache` and `private`, malformed directives and directives that are there
 *   twice: it splits at every comma, compares names as they are, and takes the last
 * - `must-revalidate` beside the question whether to store: it validates what is fresh
 * - `proxy-revalidate`: it takes it for stale at once
 * - `immutable` and `Set-Cookie` in a shared cache: it has rules of its own for them
 * - `no-cache`, or `s-maxage` in a shared cache, with something that allows stale responses: it uses them
 * - `stale-while-revalidate` for a request with `max-age`: it uses what the client does not want
 * - statuses with a lifetime that are not in its list, `must-understand`, and a 206: it stores none of them
 * - `private` as all that makes a response cacheable: it does not take it for enough
 * - `Vary: *`: it stores it, and does not use it
 * - a `Date` in the past and a slow response: it does not count apparent_age and response_delay
 * - an `Age` that is no number, dates in other forms, and an empty `Expires`: it reads them leniently, or not at all
 * - heuristics have no limit there; here it is lifted
 * - bounds are not met: for some it says less, where the RFC says not more
 */
import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "@effect/vitest/utils"
import { FastCheck as fc } from "effect"
import CachePolicy from "http-cache-semantics"
import { parseRequestDirectives } from "../src/internal/httpCache/directives.js"
import { evaluate } from "../src/internal/httpCache/evaluate.js"
import { ageOf, isHeuristic, lifetimeOf } from "../src/internal/httpCache/freshness.js"
import type { Policy } from "../src/internal/httpCache/policy.js"
import { storable } from "../src/internal/httpCache/storable.js"
import { matches, selectingValues } from "../src/internal/httpCache/vary.js"
import { imfDate, noon, plain, second, stored } from "./httpCachePolicy.js"

const settings = {
  numRuns: Number(process.env.EFFECT_KV_FUZZ_RUNS ?? 3000),
  seed: Number(process.env.EFFECT_KV_FUZZ_SEED ?? 9111)
}

/** What it takes for now: it is asked for by the constructor too. */
let clock = noon

class Other extends CachePolicy {
  now(): number {
    return clock
  }
}

const maybe = <A>(arbitrary: fc.Arbitrary<A>) => fc.option(arbitrary, { freq: 1, nil: undefined })
const flag = (name: string) => maybe(fc.constant(name))
const times = fc.constantFrom(0, 1, 10, 60, 3600)
const timed = (name: string) => maybe(times.map((seconds) => `${name}=${seconds}`))
/** In whole tens of seconds, so that a tenth of it is in whole seconds. */
const around = fc.constantFrom(-36_000, -600, -100, -10, 0, 10, 600).map((seconds) => imfDate(noon + seconds * second))

const joined = (all: fc.Arbitrary<ReadonlyArray<string | undefined>>) =>
  all.chain((parts) => fc.shuffledSubarray(parts.flatMap((part) => part ?? []), { minLength: 0 }))

const responseDirectives = joined(fc.tuple(
  timed("max-age"),
  timed("s-maxage"),
  timed("stale-while-revalidate"),
  timed("stale-if-error"),
  flag("public"),
  flag("private"),
  flag("no-cache"),
  fc.option(fc.constant("no-store"), { freq: 8, nil: undefined }).map((found) => found),
  flag("must-revalidate"),
  maybe(fc.constantFrom("foo", "foo=1"))
))

const requestDirectives = joined(fc.tuple(
  timed("max-age"),
  timed("min-fresh"),
  maybe(fc.oneof(fc.constant("max-stale"), times.map((seconds) => `max-stale=${seconds}`))),
  flag("no-cache"),
  flag("no-store")
))

const token = fc.constantFrom("a", "b")
const selecting = fc.record({ accept: token, foo: token }, { requiredKeys: [] })

/** Without what is not there. */
const present = (fields: Readonly<Record<string, string | undefined>>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]))

const list = (directives: ReadonlyArray<string>) => directives.length === 0 ? undefined : directives.join(", ")

const exchange = fc.record({
  again: fc.record({ directives: requestDirectives, fields: selecting, pragma: flag("no-cache") }),
  isShared: fc.boolean(),
  /** Half a second more: neither is at a bound. */
  later: fc.constantFrom(0, 5, 9, 10, 59, 60, 65, 100, 3600, 4000).map((seconds) => seconds * second + 500),
  request: fc.record({
    authorization: flag("Basic Og=="),
    directives: fc.constantFrom([], [], [], ["no-store"], ["no-cache"], ["max-age=0"]),
    fields: selecting,
    method: fc.constantFrom("GET", "GET", "GET", "POST")
  }),
  response: fc.record({
    age: maybe(fc.constantFrom("0", "5", "60", "100")),
    date: fc.constantFrom(imfDate(noon), imfDate(noon + 10 * second)),
    directives: responseDirectives,
    expires: maybe(fc.oneof(around, fc.constantFrom("0", "never"))),
    modified: maybe(around),
    status: fc.constantFrom(200, 200, 200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501),
    vary: maybe(fc.constantFrom("accept", "foo", "accept, foo", "Foo,accept"))
  })
})

type Exchange = typeof exchange extends fc.Arbitrary<infer A> ? A : never

const both = ({ again, isShared, later, request, response }: Exchange) => {
  const policy: Policy = { ...plain, heuristics: { atMost: Infinity, fraction: 0.1 }, isShared }
  const headers = present({
    age: response.age,
    "cache-control": list(response.directives),
    date: response.date,
    expires: response.expires,
    "last-modified": response.modified,
    vary: response.vary
  })
  const first = present({
    ...request.fields,
    authorization: request.authorization,
    "cache-control": list(request.directives)
  })
  const cacheControl = list(again.directives)
  const next = present({
    ...again.fields,
    "cache-control": cacheControl,
    pragma: cacheControl === undefined ? again.pragma : undefined
  })
  const own = stored(headers, { status: response.status, vary: selectingValues(first, response.vary, policy) })
  clock = noon
  const other = new Other(
    { headers: first, method: request.method, url: "/" },
    { headers, status: response.status },
    { shared: isShared }
  )
  clock = noon + later
  const directives = parseRequestDirectives(first["cache-control"], undefined)
  return {
    isStorable: storable({ directives, headers: first, method: request.method }, own, policy)._tag === "Store",
    next,
    now: clock,
    other,
    own,
    policy,
    says: (name: string) => response.directives.some((directive) => directive.split("=")[0] === name)
  }
}

describe("beside http-cache-semantics", () => {
  it("the same is stored", () => {
    const seen = new Set<boolean>()
    fc.assert(
      fc.property(exchange, (exchange) => {
        const { isStorable, other, own, says } = both(exchange)
        if (says("private") && !isHeuristic(own.status)) return
        seen.add(isStorable)
        assert.strictEqual(isStorable, other.storable())
      }),
      settings
    )
    assert.strictEqual(seen.size, 2)
  })

  it("it is as old, and fresh for as long", () => {
    const sources = new Set<string>()
    fc.assert(
      fc.property(exchange, (exchange) => {
        const { isStorable, now, other, own, policy, says } = both(exchange)
        assert.strictEqual(ageOf(own, now), Math.round(other.age() * 1000))
        if (!isStorable || !other.storable() || says("no-cache")) return
        const { millis, source } = lifetimeOf(own, policy)
        sources.add(source)
        assert.approximately(millis, other.maxAge() * 1000, 0.001)
      }),
      settings
    )
    deepStrictEqual([...sources].sort(), ["expires", "heuristic", "max-age", "none", "s-maxage"])
  })

  it("it is used for the same requests", () => {
    const seen = new Set<string>()
    fc.assert(
      fc.property(exchange, (exchange) => {
        const { isStorable, next, now, other, own, policy, says } = both(exchange)
        const { again, isShared, request } = exchange
        const asks = (name: string) => again.directives.some((directive) => directive.split("=")[0] === name)
        if (!isStorable || !other.storable() || says("must-revalidate")) return
        const allowsStale = asks("max-stale") || says("stale-while-revalidate")
        if (allowsStale && (says("no-cache") || (isShared && says("s-maxage")))) return
        if (asks("max-age") && says("stale-while-revalidate")) return
        const decision = evaluate(
          parseRequestDirectives(next["cache-control"], next["pragma"]),
          own,
          now,
          policy,
          "default"
        )
        const isOwn = matches(next, own, policy)
        const ours = !isOwn || decision._tag === "Revalidate"
          ? "validated"
          : decision._tag === "Stale" && decision.reason === "stale-while-revalidate"
          ? "used and validated"
          : "used"
        const found = other.evaluateRequest({ headers: next, method: request.method, url: "/" })
        const theirs = found.response === undefined
          ? "validated"
          : found.revalidation === undefined
          ? "used"
          : "used and validated"
        seen.add(`${isOwn ? decision._tag : "Other"} ${ours}`)
        assert.strictEqual(ours, theirs)
      }),
      settings
    )
    assert.includeMembers([...seen], [
      "Fresh used",
      "Other validated",
      "Revalidate validated",
      "Stale used",
      "Stale used and validated"
    ])
  })
})
