/**
 * What the tests of the policy of the HTTP cache share: a policy, a stored response and a request, each with what a test
 * says of it, and tables of cases.
 */
import { it } from "@effect/vitest"
import type { HttpCacheStore } from "effect-kv"
import { parseRequestDirectives } from "../src/internal/httpCache/directives.js"
import { isHeuristic } from "../src/internal/httpCache/freshness.js"
import type { Policy } from "../src/internal/httpCache/policy.js"

export const second = 1000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour

/** Wed, 15 Jan 2025 12:00:00 GMT: when things happen, unless a test says otherwise. */
export const noon = Date.UTC(2025, 0, 15, 12)

export const imfDate = (millis: number): string => new Date(millis).toUTCString()

/** That of a cache without options. */
export const plain: Policy = {
  heuristics: { atMost: 7 * day, fraction: 0.1 },
  ignores: false,
  isShared: false,
  isForTimeToLive: isHeuristic,
  keepsFor: 0,
  isStatus: () => true,
  staleIfDisconnected: day,
  staleIfError: undefined,
  staleWhileRevalidate: undefined,
  targets: [],
  vary: {}
}

export const shared: Policy = { ...plain, isShared: true }

type Stored = HttpCacheStore.StoredResponse

/** A 200 that came at noon at once; `Date` is not there, so that it counts as noon. */
export const stored = (headers: Record<string, string>, more: Partial<Stored> = {}): Stored => ({
  bytes: 10,
  cookies: [],
  headers,
  id: "a",
  method: "GET",
  requestTime: noon,
  responseTime: noon,
  status: 200,
  tags: [],
  url: "https://example.com/",
  vary: {},
  ...more
})

/** A GET with some Cache-Control. */
export const asking = (cacheControl?: string, headers: Record<string, string> = {}) => ({
  directives: parseRequestDirectives(cacheControl, undefined),
  headers,
  method: "GET"
})

/** One test a row, whose name begins with the section of the specification that it is from. */
export const table = <Row extends readonly [section: string, name: string, ...Array<unknown>]>(
  rows: ReadonlyArray<Row>,
  check: (...row: Row) => void
): void => {
  for (const row of rows) it(`${row[0]}: ${row[1]}`, () => check(...row))
}
