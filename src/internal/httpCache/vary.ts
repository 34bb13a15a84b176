/**
 * Which of several stored responses to a URL answers a request: RFC 9111 section 4.1.
 *
 * @internal
 */
import type { StoredResponse } from "../../HttpCacheStore.js"
import { sha256 } from "../sha256.js"
import { type Fields, listOf } from "./fields.js"
import type { Policy } from "./policy.js"

/** What must not be read from where it is stored. */
const secret = /auth|cookie|key|secret|session|token/

/** What is longer is compared by its hash. */
const longest = 256

/** Whitespace about commas means nothing in a list; in quotes it does. */
const withoutSpace = (value: string): string =>
  value.includes("\"") ? value.trim() : value.split(",").map((member) => member.trim()).join(",")

/** Lists in which case means nothing, and order nothing that could be relied on: RFC 9110 sections 12.5.3 and 12.5.4. */
const asSet = (value: string): string => withoutSpace(value).toLowerCase().split(",").sort().join(",")

const own: Policy["vary"] = { "accept-encoding": asSet, "accept-language": asSet }

/** A field may have the name of what every object has: `constructor`. */
const of = <A>(record: Readonly<Record<string, A>>, name: string): A | undefined =>
  Object.hasOwn(record, name) ? record[name] : undefined

const selecting = (name: string, request: Fields, policy: Policy): string | null => {
  const value = of(request, name)
  if (value === undefined) return null
  const normalize = of(policy.vary, name) ?? of(own, name) ?? withoutSpace
  const text = normalize === false ? "" : normalize(value)
  return secret.test(name) || text.length > longest ? `sha256:${sha256(text)}` : text
}

const namesOf = (vary: string | undefined, policy: Policy): ReadonlyArray<string> =>
  listOf(vary).filter((name) => of(policy.vary, name) !== false)

/**
 * The values that select a response, as they are stored: null for a field that the request does not have.
 *
 * @internal
 */
export const selectingValues = (
  request: Fields,
  vary: string | undefined,
  policy: Policy
): StoredResponse["vary"] =>
  Object.fromEntries([...namesOf(vary, policy)].sort().map((name) => [name, selecting(name, request, policy)]))

/** @internal */
export const matches = (request: Fields, { headers, vary }: StoredResponse, policy: Policy): boolean => {
  if (headers["vary"] === undefined) return true
  const names = namesOf(headers["vary"], policy)
  return !names.includes("*") && names.every((name) => selecting(name, request, policy) === (of(vary, name) ?? null))
}

/**
 * Whether one takes the place of the other.
 *
 * @internal
 */
export const isSameVariant = (a: StoredResponse, b: StoredResponse): boolean =>
  a.method === b.method && JSON.stringify(a.vary) === JSON.stringify(b.vary) &&
  JSON.stringify(a.range) === JSON.stringify(b.range)
