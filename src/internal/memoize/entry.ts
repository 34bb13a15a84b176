/**
 * What is stored of an answer: a line of JSON about it, and then the answer as its codec wrote it.
 *
 * @internal
 */
import type { Value } from "../../Storage.js"

/** @internal */
export interface Entry {
  /** A success, a failure, or nothing: it was invalidated. */
  readonly kind: "success" | "failure" | "none"
  readonly storedAt: number
  /** Until when it answers calls; `Infinity` for ever. */
  readonly freshUntil: number
  /** How long the function took, in milliseconds. */
  readonly lookupMillis: number
  /** Until when the function is not called again, because it has failed. */
  readonly retryAt: number
  /** A word for the last invalidation, which what was computed since then lacks. */
  readonly mark: string
  /** What the tags' versions had come to when the function was called. */
  readonly version: number
  readonly tags: ReadonlyArray<string>
  readonly body: Value
}

/**
 * What takes the place of an answer that is invalidated.
 *
 * @internal
 */
export const tombstone = (mark: string, now: number): Entry => ({
  body: "",
  freshUntil: 0,
  kind: "none",
  lookupMillis: 0,
  mark,
  retryAt: 0,
  storedAt: now,
  tags: [],
  version: 0
})

const letters = { failure: "f", none: "n", success: "s" } as const
const kinds = { f: "failure", n: "none", s: "success" } as const

/** @internal */
export const print = (
  { body, freshUntil, kind, lookupMillis, mark, retryAt, storedAt, tags, version }: Entry
): Value => {
  const header = [letters[kind], storedAt, freshUntil === Infinity ? null : freshUntil, lookupMillis]
  // Most have none of these.
  const more = retryAt > 0 || mark !== "" || tags.length > 0 ? [retryAt, mark, version, ...tags] : []
  const line = `${JSON.stringify([...header, ...more])}\n`
  return typeof body === "string" ? line + body : Buffer.concat([Buffer.from(line), body])
}

type Header = readonly [
  kind: keyof typeof kinds,
  storedAt: number,
  freshUntil: number | null,
  lookupMillis: number,
  retryAt?: number,
  mark?: string,
  version?: number,
  ...tags: Array<string>
]

const isHeader = (line: unknown): line is Header =>
  Array.isArray(line) &&
  (line[0] === "s" || line[0] === "f" || line[0] === "n") &&
  typeof line[1] === "number" &&
  (line[2] === null || typeof line[2] === "number") &&
  typeof line[3] === "number" &&
  (line.length === 4 ||
    (typeof line[4] === "number" && typeof line[5] === "string" && typeof line[6] === "number" &&
      line.slice(7).every((tag) => typeof tag === "string")))

const newline = 10

const parseHeader = (line: string): unknown => {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}

const none: ReadonlyArray<string> = []

/**
 * Undefined for what nobody has stored in this form.
 *
 * @internal
 */
export const parse = (stored: Value): Entry | undefined => {
  const end = typeof stored === "string" ? stored.indexOf("\n") : stored.indexOf(newline)
  if (end < 0) return undefined
  const header = parseHeader(
    typeof stored === "string" ? stored.slice(0, end) : Buffer.from(stored.subarray(0, end)).toString()
  )
  return isHeader(header)
    ? {
      body: typeof stored === "string" ? stored.slice(end + 1) : stored.subarray(end + 1),
      freshUntil: header[2] ?? Infinity,
      kind: kinds[header[0]],
      lookupMillis: header[3],
      mark: header[5] ?? "",
      retryAt: header[4] ?? 0,
      storedAt: header[1],
      tags: header.length > 7 ? header.slice(7).map(String) : none,
      version: header[6] ?? 0
    }
    : undefined
}
