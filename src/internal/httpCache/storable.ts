/**
 * Whether a response may be stored: RFC 9111 section 3.
 *
 * @internal
 */
import type { RequestDirectives } from "./directives.js"
import type { Fields } from "./fields.js"
import { listOf } from "./fields.js"
import { directivesOf, explicitLifetime, isHeuristic } from "./freshness.js"
import type { Policy } from "./policy.js"
import { contentRangeOf } from "./ranges.js"

/**
 * Why a response is not stored.
 *
 * @internal
 */
export type Refusal =
  | "request-no-store"
  | "response-no-store"
  | "private"
  | "authorization"
  | "status"
  | "not-understood"
  | "partial"
  | "vary"
  | "not-cacheable"
  | "time-to-live"
  | "method"

/** @internal */
export type Storable =
  | { readonly _tag: "Store" }
  | { readonly _tag: "Refuse"; readonly reason: Refusal }

const store: Storable = { _tag: "Store" }
const refuse = (reason: Refusal): Storable => ({ _tag: "Refuse", reason })

/** Those whose meaning for caches is implemented here: RFC 9110 section 15. */
const understood = new Set([
  200,
  203,
  204,
  206,
  300,
  301,
  302,
  303,
  307,
  308,
  400,
  401,
  403,
  404,
  405,
  410,
  414,
  451,
  500,
  501,
  502,
  503,
  504
])

/** RFC 6585 sections 3 to 6. */
const never = new Set([428, 429, 431, 511])

/** @internal */
export interface RequestFacts {
  readonly directives: RequestDirectives
  readonly headers: Fields
  readonly method: string
}

/** @internal */
export interface ResponseFacts {
  readonly headers: Fields
  readonly requestTime: number
  readonly responseTime: number
  readonly status: number
  readonly timeToLive?: number | undefined
}

/** @internal */
export const storable = (request: RequestFacts, response: ResponseFacts, policy: Policy): Storable => {
  const { headers, status } = response
  const directives = directivesOf(response, policy)
  if (request.directives.noStore) return refuse("request-no-store")
  // An answer to a condition is no representation, and neither are the informational ones.
  if (status < 200 || status === 304 || status === 416 || never.has(status) || !policy.isStatus(status)) {
    return refuse("status")
  }
  if (directives.mustUnderstand) {
    if (!understood.has(status)) return refuse("not-understood")
  } else if (directives.noStore) return refuse("response-no-store")
  if (status === 206 && contentRangeOf(headers["content-range"]) === undefined) return refuse("partial")
  if (policy.isShared) {
    if (directives.private === true) return refuse("private")
    const isAllowed = directives.public || directives.mustRevalidate || directives.sMaxAge !== undefined
    if (request.headers["authorization"] !== undefined && !isAllowed) return refuse("authorization")
  }
  if (listOf(headers["vary"]).includes("*")) return refuse("vary")
  if (explicitLifetime(response, policy) !== undefined) return store
  // A method of which caching was asked for needs to be told for how long: RFC 9110 section 9.3.3.
  const hasLife = response.timeToLive !== undefined && policy.isForTimeToLive(status)
  if (request.method === "POST" && !hasLife) return refuse("method")
  if (hasLife && response.timeToLive <= 0) return refuse("time-to-live")
  const isCacheable = hasLife || directives.public || (!policy.isShared && directives.private === true) ||
    isHeuristic(status)
  return isCacheable ? store : refuse("not-cacheable")
}
