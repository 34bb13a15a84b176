/**
 * Text as bytes, for codecs that store bytes whatever they are given.
 *
 * @internal
 */
import type { Value } from "../../Storage.js"

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * Throws an `Error` if the text has no UTF-8 form.
 *
 * @internal
 */
export const toBytes = (value: Value): Uint8Array => {
  if (typeof value !== "string") return value
  if (!value.isWellFormed()) throw new Error("the text contains a lone surrogate, which has no UTF-8 form")
  return Buffer.from(value, "utf8")
}

/**
 * A text, or bytes that are nobody else's. Throws a `TypeError` if it is to be text and is not UTF-8.
 *
 * @internal
 */
export const fromBytes = (bytes: Uint8Array, isText: boolean): Value =>
  isText ? decoder.decode(bytes) : new Uint8Array(bytes)
