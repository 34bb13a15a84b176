/**
 * Compressed text and bytes: a header byte, and then the content as it is or as zlib's deflate makes it. That has a
 * checksum of its own, so what is damaged is noticed.
 *
 * @internal
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { promisify } from "node:util"
import * as zlib from "node:zlib"
import type { Value } from "../../Storage.js"
import { fromBytes, toBytes } from "./utf8.js"

/** @internal */
export class Fault extends Data.TaggedError("Fault")<{ readonly message: string; readonly cause?: unknown }> {}

/** @internal */
export interface Options {
  readonly level?: number | undefined
  /** How long a value may be, in bytes. */
  readonly maxLength: number
}

/** What is longer than this, in bytes before it is compressed, is left to zlib's threads. */
const maxSynchronous = 65_536

/** The header byte. No two differ in one bit only. Another format takes other bytes. */
const plainBytes = 0xc1
const plainText = 0xc2
const deflatedBytes = 0xc4
const deflatedText = 0xc8

const deflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflate)
const inflate = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.inflate)

/** @internal */
export const compress = (value: Value, { level, maxLength }: Options): Effect.Effect<Uint8Array, Fault> => {
  const isText = typeof value === "string"
  const write = (content: Uint8Array, deflated: Uint8Array): Uint8Array =>
    deflated.length < content.length
      ? withHeader(isText ? deflatedText : deflatedBytes, deflated)
      : withHeader(isText ? plainText : plainBytes, content)
  return attempt(() => {
    const content = toBytes(value)
    if (content.length > maxLength) throw tooLong(maxLength)
    const options: zlib.ZlibOptions = level === undefined ? {} : { level }
    return content.length <= maxSynchronous
      ? Exit.succeed(write(content, zlib.deflateSync(content, options)))
      : Effect.map(
        Effect.tryPromise({ catch: toFault, try: () => deflate(content, options) }),
        (deflated) => write(content, deflated)
      )
  })
}

/** @internal */
export const decompress = (stored: Value, { maxLength }: Options): Effect.Effect<Value, Fault> =>
  attempt(() => {
    if (typeof stored === "string") throw new Error("text is stored there, not a compressed value")
    const header = stored[0]
    const content = stored.subarray(1)
    switch (header) {
      case plainBytes:
      case plainText:
        return Exit.succeed(fromBytes(content, header === plainText))
      case deflatedBytes:
      case deflatedText: {
        const isText = header === deflatedText
        const slow = Effect.tryPromise({
          catch: (cause) => isTooLong(cause) ? tooLong(maxLength, cause) : damaged(cause),
          try: () => inflate(content, { maxOutputLength: maxLength })
        }).pipe(Effect.flatMap((bytes) => attempt(() => Exit.succeed(fromBytes(bytes, isText)))))
        if (content.length > maxSynchronous) return slow
        try {
          return Exit.succeed(fromBytes(zlib.inflateSync(content, { maxOutputLength: maxSynchronous }), isText))
        } catch (cause) {
          if (isTooLong(cause)) return slow
          throw damaged(cause)
        }
      }
      case undefined:
        throw new Error("it is empty")
      default:
        throw new Error(
          `its format (0x${header.toString(16)}) is not known: it was not written by this codec, ` +
            "or by a newer version of effect-kv, or it is damaged"
        )
    }
  })

const withHeader = (header: number, content: Uint8Array): Uint8Array => {
  const out = new Uint8Array(1 + content.length)
  out[0] = header
  out.set(content, 1)
  return out
}

const attempt = <A>(f: () => Effect.Effect<A, Fault>): Effect.Effect<A, Fault> => {
  try {
    return f()
  } catch (cause) {
    return Exit.fail(toFault(cause))
  }
}

const toFault = (cause: unknown): Fault =>
  cause instanceof Fault
    ? cause
    : new Fault({ cause, message: cause instanceof Error ? cause.message : String(cause) })

const damaged = (cause: unknown): Fault => new Fault({ cause, message: `it is damaged: ${toFault(cause).message}` })

const tooLong = (maxLength: number, cause?: unknown): Fault =>
  new Fault({ cause, message: `it is longer than ${maxLength} bytes before it is compressed` })

const isTooLong = (cause: unknown): boolean =>
  cause instanceof RangeError && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE"
