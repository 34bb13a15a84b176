/**
 * Bytes and text. Where bytes have to be compared or looked up often they are text of a code unit a byte.
 *
 * @internal
 */
import type { Value } from "../../Storage.js"

/** @internal */
export const none: Uint8Array = new Uint8Array(0)

/** @internal */
export const utf8 = (text: string): Uint8Array => Buffer.from(text, "utf8")

/** @internal */
export const latin1 = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1")

/** @internal */
export const fromLatin1 = (text: string): Uint8Array => Buffer.from(text, "latin1")

/** @internal */
export const bytesOf = (value: Value): Uint8Array => typeof value === "string" ? utf8(value) : value

/** @internal */
export const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => Buffer.concat(parts)

/** @internal */
export const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/**
 * Undefined if it is not UTF-8.
 *
 * @internal
 */
export const textOf = (bytes: Uint8Array): string | undefined => {
  // Several times as quick as a strict decoder, which is needed only where this replaced something, or seems to have.
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")
  if (!text.includes("\ufffd")) return text
  try {
    return decoder.decode(bytes)
  } catch {
    return undefined
  }
}
