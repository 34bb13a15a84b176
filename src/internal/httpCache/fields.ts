/**
 * Which fields of a response are stored, updated and sent: RFC 9111 sections 3.1 and 3.2, RFC 9110 section 15.4.5.
 *
 * @internal
 */
import type { ResponseDirectives } from "./directives.js"

/**
 * Names in lower case; what came in several lines is one value, with commas.
 *
 * @internal
 */
export type Fields = Readonly<Record<string, string>>

/** Of one connection, or of one proxy: RFC 9110 section 7.6.1. */
const ofConnection = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authentication-info",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/** What tells how the stored body is to be read: it stays what it was, as the body does. */
const ofBody = new Set(["content-encoding", "content-length", "content-md5", "content-range"])

/**
 * The members of a list, in lower case.
 *
 * @internal
 */
export const listOf = (list: string | undefined): ReadonlyArray<string> =>
  list === undefined ? [] : list.split(",").flatMap((member) => member.trim().toLowerCase() || [])

const pick = (fields: Fields, isKept: (name: string) => boolean): Record<string, string> => {
  const kept: Record<string, string> = {}
  for (const name of Object.keys(fields)) {
    const value = fields[name]
    if (value !== undefined && isKept(name)) kept[name] = value
  }
  return kept
}

/**
 * Those that are stored: neither those of the connection, nor those that the response says are not for reuse.
 *
 * @internal
 */
export const storedFields = (
  fields: Fields,
  directives: ResponseDirectives,
  isShared: boolean,
  dropped: ReadonlyArray<string>
): Fields => {
  const left = new Set([
    ...listOf(fields["connection"]),
    ...(directives.noCache === true ? [] : directives.noCache),
    ...(directives.private === true || !isShared ? [] : directives.private),
    ...dropped
  ])
  return pick(fields, (name) => !ofConnection.has(name) && !left.has(name))
}

/**
 * The stored ones, with those of a response that says they are current (3.2). A validator that is known stays: it is of
 * the stored body.
 *
 * @internal
 */
export const updatedFields = (stored: Fields, update: Fields): Fields => ({
  // It is as old as the update says, or came right from the origin.
  ...pick(stored, (name) => name !== "age"),
  ...pick(update, (name) => !ofBody.has(name) && !(name === "etag" && stored["etag"] !== undefined))
})

/**
 * Without what tells of the transport's encoding, if that is undone already.
 *
 * @internal
 */
export const decodedFields = (fields: Fields): Fields =>
  pick(fields, (name) => name !== "content-encoding" && name !== "content-length")

/**
 * Those of a 304: nothing about a body that is not sent.
 *
 * @internal
 */
export const notModifiedFields = (fields: Fields): Fields =>
  pick(fields, (name) => !name.startsWith("content-") || name === "content-location")
