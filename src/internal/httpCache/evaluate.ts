/**
 * Whether a stored response answers a request: RFC 9111 sections 4, 4.2.4 and 5.2, RFC 5861, RFC 8246.
 *
 * @internal
 */
import type { StoredResponse } from "../../HttpCacheStore.js"
import type { RequestDirectives, ResponseDirectives } from "./directives.js"
import { ageOf, directivesOf, type Lifetime, lifetimeOf } from "./freshness.js"
import type { Policy } from "./policy.js"

/**
 * Why a stored response has to be validated before it is used.
 *
 * @internal
 */
export type RevalidationReason =
  | "stale"
  | "request-no-cache"
  | "request-max-age"
  | "request-min-fresh"
  | "response-no-cache"

/**
 * @internal
 */
export type Decision =
  & {
    /** In milliseconds. */
    readonly age: number
    readonly lifetime: Lifetime
  }
  & (
    | { readonly _tag: "Fresh" }
    /** Stale, and used all the same. */
    | { readonly _tag: "Stale"; readonly reason: "max-stale" | "stale-while-revalidate" | "asked" }
    | { readonly _tag: "Revalidate"; readonly reason: RevalidationReason }
  )

/**
 * How far the clocks of processes on one store may be apart, in milliseconds.
 *
 * @internal
 */
export const clockSkew = 60_000

/**
 * `mode` is `"any"` if whatever is stored will do.
 *
 * @internal
 */
export const evaluate = (
  request: RequestDirectives,
  stored: StoredResponse,
  now: number,
  policy: Policy,
  mode: "default" | "any" | "validate"
): Decision => {
  const age = ageOf(stored, now)
  const lifetime = lifetimeOf(stored, policy)
  const directives = directivesOf(stored, policy)
  // What comes from the future was stored by a clock that has gone back since: nobody knows how old it is.
  const isFresh = lifetime.millis > age && stored.responseTime <= now + clockSkew
  if (mode === "any") {
    return isFresh ? { _tag: "Fresh", age, lifetime } : { _tag: "Stale", age, lifetime, reason: "asked" }
  }
  const revalidate = (reason: RevalidationReason): Decision => ({ _tag: "Revalidate", age, lifetime, reason })
  // What does not change while it is fresh is not asked about when a page is reloaded: RFC 8246 section 2.
  const isImmutable = directives.immutable && isFresh
  if (request.noCache || (mode === "validate" && !isImmutable)) return revalidate("request-no-cache")
  if (isUnusable(directives)) return revalidate("response-no-cache")
  const staleness = age - lifetime.millis
  if (request.minFresh !== undefined && -staleness < request.minFresh * 1000) return revalidate("request-min-fresh")
  const isReload = request.maxAge === 0 && isImmutable
  if (request.maxAge !== undefined && age > request.maxAge * 1000 && !isReload) return revalidate("request-max-age")
  if (isFresh) return { _tag: "Fresh", age, lifetime }
  if (isStrict(stored, policy)) return revalidate("stale")
  if (request.maxStale !== undefined && staleness <= request.maxStale * 1000) {
    return { _tag: "Stale", age, lifetime, reason: "max-stale" }
  }
  const meanwhile = directives.staleWhileRevalidate === undefined
    ? policy.staleWhileRevalidate
    : directives.staleWhileRevalidate * 1000
  return meanwhile !== undefined && staleness < meanwhile && request.maxAge === undefined
    ? { _tag: "Stale", age, lifetime, reason: "stale-while-revalidate" }
    : revalidate("stale")
}

/** Without validation; also what was validated since, and then said that it is not to be stored. */
const isUnusable = ({ mustUnderstand, noCache, noStore }: ResponseDirectives): boolean =>
  noCache === true || (noStore && !mustUnderstand)

/** Whether it must not be used stale, whatever happens: 5.2.2.2, 5.2.2.4, 5.2.2.8, 5.2.2.10. */
const isStrict = (stored: StoredResponse, policy: Policy): boolean => {
  const directives = directivesOf(stored, policy)
  return directives.mustRevalidate || isUnusable(directives) ||
    (policy.isShared && (directives.proxyRevalidate || directives.sMaxAge !== undefined))
}

/**
 * Whether a stale response stands in when the origin fails: with an error, or because it cannot be reached.
 *
 * @internal
 */
export const standsIn = (
  request: RequestDirectives,
  stored: StoredResponse,
  now: number,
  policy: Policy,
  failure: "error" | "disconnected"
): boolean => {
  if (request.noCache || request.minFresh !== undefined || isStrict(stored, policy)) return false
  const staleness = ageOf(stored, now) - lifetimeOf(stored, policy).millis
  if (request.maxAge !== undefined && ageOf(stored, now) > request.maxAge * 1000) return false
  const said = request.staleIfError ?? directivesOf(stored, policy).staleIfError
  const allowed = said === undefined
    ? failure === "error"
      ? policy.staleIfError ?? 0
      : Math.max(policy.staleIfError ?? 0, policy.staleIfDisconnected)
    : said * 1000
  return staleness < allowed || staleness <= 0
}
