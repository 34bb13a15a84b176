/**
 * How old a response is and how long it is fresh: RFC 9111 section 4.2. Times in milliseconds.
 *
 * @internal
 */
import type { StoredResponse } from "../../HttpCacheStore.js"
import { parseDate } from "./date.js"
import {
  noDirectives,
  parseResponseDirectives,
  parseTargetedDirectives,
  type ResponseDirectives
} from "./directives.js"
import type { Policy } from "./policy.js"

/**
 * What says how long a response is fresh, and for how long.
 *
 * @internal
 */
export interface Lifetime {
  readonly millis: number
  readonly source: "s-maxage" | "max-age" | "expires" | "timeToLive" | "heuristic" | "none"
}

/** RFC 9110 section 15.1. */
const heuristicStatuses = new Set([200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501])

/** @internal */
export const isHeuristic = (status: number): boolean => heuristicStatuses.has(status)

/** What is asked of a response before it is stored. */
type Received = Pick<StoredResponse, "headers" | "requestTime" | "responseTime" | "status" | "timeToLive">

/** What was parsed, and by which targets. */
const parsed = new WeakMap<
  object,
  { readonly directives: ResponseDirectives; readonly isTargeted: boolean; readonly policy: Policy }
>()

const parseOf = ({ headers }: Pick<Received, "headers">, policy: Policy) => {
  const known = parsed.get(headers)
  if (known !== undefined && known.policy.targets === policy.targets && known.policy.ignores === policy.ignores) {
    return known
  }
  let directives: ResponseDirectives | undefined
  if (!policy.ignores) {
    for (const target of policy.targets) {
      directives = parseTargetedDirectives(headers[target])
      if (directives !== undefined) break
    }
  }
  const found = {
    directives: directives ?? (policy.ignores ? noDirectives : parseResponseDirectives(headers["cache-control"])),
    isTargeted: directives !== undefined,
    policy
  }
  parsed.set(headers, found)
  return found
}

/**
 * The directives that count: those of the first targeted field there is, else those of Cache-Control; none, if the
 * policy ignores them.
 *
 * @internal
 */
export const directivesOf = (response: Pick<Received, "headers">, policy: Policy): ResponseDirectives =>
  parseOf(response, policy).directives

const dateOf = ({ headers, responseTime }: Received): number => parseDate(headers["date"], responseTime) ?? responseTime

/**
 * What a response says of its freshness itself.
 *
 * @internal
 */
export const explicitLifetime = (response: Received, policy: Policy): Lifetime | undefined => {
  const { directives, isTargeted } = parseOf(response, policy)
  if (policy.isShared && directives.sMaxAge !== undefined) {
    return { millis: directives.sMaxAge * 1000, source: "s-maxage" }
  }
  if (directives.maxAge !== undefined) return { millis: directives.maxAge * 1000, source: "max-age" }
  const expires = response.headers["expires"]
  // A targeted field stands for Expires too: RFC 9213 section 2.2.
  if (expires === undefined || policy.ignores || isTargeted) return undefined
  const at = parseDate(expires, response.responseTime)
  return { millis: at === undefined ? 0 : Math.max(0, at - dateOf(response)), source: "expires" }
}

const heuristicLifetime = (response: Received, policy: Policy): Lifetime | undefined => {
  const { heuristics } = policy
  if (heuristics === undefined) return undefined
  if (!isHeuristic(response.status) && !directivesOf(response, policy).public) return undefined
  const modified = parseDate(response.headers["last-modified"], response.responseTime)
  if (modified === undefined) return undefined
  const age = dateOf(response) - modified
  return age <= 0
    ? undefined
    : { millis: Math.min(age * heuristics.fraction, heuristics.atMost), source: "heuristic" }
}

/** @internal */
export const lifetimeOf = (response: Received, policy: Policy): Lifetime =>
  explicitLifetime(response, policy) ??
    (response.timeToLive === undefined || !policy.isForTimeToLive(response.status)
      ? undefined
      : { millis: response.timeToLive, source: "timeToLive" }) ??
    heuristicLifetime(response, policy) ??
    { millis: 0, source: "none" }

/** The first member; what is no number of seconds is as if it were not there: RFC 9111 section 5.1. */
const ageField = (headers: Received["headers"]): number => {
  const [first = ""] = (headers["age"] ?? "").split(",")
  return /^\s*\d+\s*$/.test(first) ? Math.min(Number(first), 2 ** 31) * 1000 : 0
}

/**
 * Current age: 4.2.3. A clock that has gone back since makes nothing younger than it was on arrival.
 *
 * @internal
 */
export const ageOf = (response: Received, now: number): number => {
  const { requestTime, responseTime } = response
  // Dates have whole seconds, so what is less says nothing.
  const apparent = Math.max(0, Math.floor((responseTime - dateOf(response)) / 1000) * 1000)
  const corrected = ageField(response.headers) + Math.max(0, responseTime - requestTime)
  return Math.max(apparent, corrected) + Math.max(0, now - responseTime)
}
