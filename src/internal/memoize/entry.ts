/**
 * What is stored of an answer: a line of JSON about it, and then the answer as its codec wrote it.
 *
 * @internal
 */
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Storage from "../../Storage.js"
import type { StorageError } from "../../StorageError.js"
import { soundly } from "../store/soundly.js"

/** @internal */
export interface Entry {
  readonly kind: "success" | "failure"
  /** It was invalidated softly. */
  readonly isSoft: boolean
  readonly storedAt: number
  /** Until when it answers calls; `Infinity` for ever. */
  readonly freshUntil: number
  /** How long the function took, in milliseconds. */
  readonly lookupMillis: number
  /** Until when the function is not called again, because it has failed. */
  readonly retryAt: number
  /** What invalidations had come to when the function was called. */
  readonly version: number
  readonly tags: ReadonlyArray<string>
  readonly body: Storage.Value
}

/** The kind, in upper case if it was invalidated softly. */
const letters = { failure: "f", success: "s" } as const
const kinds = {
  F: { isSoft: true, kind: "failure" },
  S: { isSoft: true, kind: "success" },
  f: { isSoft: false, kind: "failure" },
  s: { isSoft: false, kind: "success" }
} as const

/** @internal */
export const print = (
  { body, freshUntil, isSoft, kind, lookupMillis, retryAt, storedAt, tags, version }: Entry
): Storage.Value => {
  const letter = isSoft ? letters[kind].toUpperCase() : letters[kind]
  const header = [letter, storedAt, freshUntil === Infinity ? null : freshUntil, lookupMillis]
  // Most have none of these.
  const more = retryAt > 0 || tags.length > 0 ? [retryAt === Infinity ? null : retryAt, version, ...tags] : []
  const line = `${JSON.stringify([...header, ...more])}\n`
  return typeof body === "string" ? line + body : Buffer.concat([Buffer.from(line), body])
}

type Header = readonly [
  kind: keyof typeof kinds,
  storedAt: number,
  freshUntil: number | null,
  lookupMillis: number,
  retryAt?: number | null,
  version?: number,
  ...tags: Array<string>
]

const isHeader = (line: unknown): line is Header =>
  Array.isArray(line) &&
  typeof line[0] === "string" && Object.hasOwn(kinds, line[0]) &&
  typeof line[1] === "number" &&
  (line[2] === null || typeof line[2] === "number") &&
  typeof line[3] === "number" &&
  (line.length === 4 ||
    ((line[4] === null || typeof line[4] === "number") && typeof line[5] === "number" &&
      line.slice(6).every((tag) => typeof tag === "string")))

const newline = 10

const parseHeader = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

const none: ReadonlyArray<string> = []

/** Undefined for what nobody has stored in this form. */
const parse = (stored: Storage.Value): Entry | undefined => {
  const end = typeof stored === "string" ? stored.indexOf("\n") : stored.indexOf(newline)
  if (end < 0) return undefined
  const header = parseHeader(
    typeof stored === "string" ? stored.slice(0, end) : Buffer.from(stored.subarray(0, end)).toString()
  )
  return isHeader(header)
    ? {
      body: typeof stored === "string" ? stored.slice(end + 1) : stored.subarray(end + 1),
      freshUntil: header[2] ?? Infinity,
      ...kinds[header[0]],
      lookupMillis: header[3],
      retryAt: header[4] === null ? Infinity : header[4] ?? 0,
      storedAt: header[1],
      tags: header.length > 6 ? header.slice(6).map(String) : none,
      version: header[5] ?? 0
    }
    : undefined
}

/**
 * What is stored under a key, if it is an answer.
 *
 * @internal
 */
export const entryOf = (stored: Option.Option<Storage.Entry>): Entry | undefined =>
  Option.isNone(stored) ? undefined : parse(stored.value.value)

/**
 * Has a stored answer be another one, with the expiry that it has; not if `change` has none. Tells whether it is.
 *
 * @internal
 */
export const revise = (
  keyspace: Storage.Keyspace,
  key: string,
  change: (entry: Entry) => Entry | undefined
): Effect.Effect<boolean, StorageError> =>
  soundly(keyspace.modify(key, (stored) => {
    const entry = entryOf(stored)
    const next = entry && change(entry)
    return Option.isNone(stored) || next === undefined
      ? [false, Storage.keep]
      : [true, Storage.put(print(next), stored.value.expiresAt)]
  }))
