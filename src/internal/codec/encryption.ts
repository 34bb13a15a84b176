/**
 * Encrypted text and bytes, by AES-256-GCM:
 *
 *     header (1) | key id (4) | nonce (12) | ciphertext | tag (16)
 *
 * What fails is said by a text without a cause: nothing of a key or of what is encrypted may get into it.
 *
 * @internal
 */
import * as Either from "effect/Either"
import * as Redacted from "effect/Redacted"
import { createCipheriv, createDecipheriv, createHash, createSecretKey, type KeyObject, randomBytes } from "node:crypto"
import type { At } from "../../Codec.js"
import type { Value } from "../../Storage.js"
import { fromBytes, toBytes } from "./utf8.js"

/** @internal */
export interface Key {
  readonly id: Buffer
  readonly secret: KeyObject
}

const algorithm = "aes-256-gcm"
const keyLength = 32
const idLength = 4
const nonceLength = 12
const tagLength = 16
const nonceStart = 1 + idLength
const contentStart = nonceStart + nonceLength

/** The header byte: the first format, of bytes and of text. They differ in two bits. Another format takes other bytes. */
const sealedBytes = 0xe1
const sealedText = 0xe2

/**
 * The keys, or what is wrong with them. The first encrypts.
 *
 * @internal
 */
export const keyring = (
  keys: ReadonlyArray<Redacted.Redacted<string | Uint8Array>>
): Either.Either<ReadonlyArray<Key>, string> => {
  if (keys.length === 0) return Either.left("no key is given: give one")
  const ring: Array<Key> = []
  for (const [i, key] of keys.entries()) {
    const bytes = keyBytes(key)
    if (bytes === undefined) {
      const which = keys.length === 1 ? "the key" : `key ${i + 1} of ${keys.length}`
      return Either.left(
        `${which} is not 32 bytes: give a Uint8Array, or a text of 64 hex digits or of 43 in base64 or base64url`
      )
    }
    const id = createHash("sha256").update("effect-kv/encrypted/key-id\0").update(bytes).digest().subarray(0, idLength)
    ring.push({ id, secret: createSecretKey(bytes) })
  }
  return Either.right(ring)
}

const keyBytes = (key: Redacted.Redacted<string | Uint8Array>): Uint8Array | undefined => {
  let value: unknown
  try {
    value = Redacted.value(key)
  } catch {
    // It was wiped.
    return undefined
  }
  if (value instanceof Uint8Array) return value.length === keyLength ? value : undefined
  if (typeof value !== "string") return undefined
  if (/^[0-9a-f]{64}$/i.test(value)) return Buffer.from(value, "hex")
  // Buffer reads both alphabets.
  return /^[\w+/-]{43}=?$/.test(value) ? Buffer.from(value, "base64") : undefined
}

/**
 * What is authenticated besides the content. Lengths come first, and UTF-16 has a form for every string: no two places
 * look the same.
 */
const context = (prefix: Uint8Array, { key, keyspace }: At): Buffer => {
  const space = Buffer.from(keyspace, "utf16le")
  const length = Buffer.alloc(4)
  length.writeUInt32BE(space.length)
  return Buffer.concat([Buffer.from("effect-kv/encrypted\0"), prefix, length, space, Buffer.from(key, "utf16le")])
}

/**
 * Left is what is wrong.
 *
 * @internal
 */
export const seal = (ring: ReadonlyArray<Key>, value: Value, at: At): Either.Either<Uint8Array, string> => {
  const [key] = ring
  if (key === undefined) return Either.left("no key is given: give one")
  if (typeof value === "string" && !value.isWellFormed()) {
    return Either.left("the text contains a lone surrogate, which has no UTF-8 form")
  }
  const prefix = Buffer.concat([Buffer.of(typeof value === "string" ? sealedText : sealedBytes), key.id])
  const nonce = randomBytes(nonceLength)
  const cipher = createCipheriv(algorithm, key.secret, nonce, { authTagLength: tagLength })
  cipher.setAAD(context(prefix, at))
  const content = cipher.update(toBytes(value))
  return Either.right(
    new Uint8Array(Buffer.concat([prefix, nonce, content, cipher.final(), cipher.getAuthTag()]))
  )
}

/**
 * Left is what is wrong, and what to do.
 *
 * @internal
 */
export const open = (ring: ReadonlyArray<Key>, stored: Value, at: At): Either.Either<Value, string> => {
  if (typeof stored === "string") {
    return Either.left(
      "text is stored there, not an encrypted value; if it was written before encryption, read it with the codec of " +
        "that time and write it again"
    )
  }
  const header = stored[0]
  if (header === undefined) return Either.left("it is empty, not an encrypted value; restore it or write it again")
  if (header !== sealedBytes && header !== sealedText) {
    return Either.left(
      `its format (0x${header.toString(16)}) is not known: update effect-kv if a newer version wrote it; if it was ` +
        "written without encryption, write it again; else it is damaged: restore it"
    )
  }
  if (stored.length < contentStart + tagLength) {
    return Either.left("it is truncated; restore it or write it again")
  }
  const prefix = stored.subarray(0, nonceStart)
  const id = Buffer.from(stored.subarray(1, nonceStart))
  const candidates = ring.filter((key) => key.id.equals(id))
  if (candidates.length === 0) {
    return Either.left(
      `it is encrypted with a key that is not given (its id is ${id.toString("hex")}); add that key to the list`
    )
  }
  const nonce = stored.subarray(nonceStart, contentStart)
  const content = stored.subarray(contentStart, -tagLength)
  const tag = stored.subarray(-tagLength)
  const aad = context(prefix, at)
  for (const { secret } of candidates) {
    const decipher = createDecipheriv(algorithm, secret, nonce, { authTagLength: tagLength })
    decipher.setAAD(aad).setAuthTag(tag)
    try {
      const start = decipher.update(content)
      return Either.right(fromBytes(Buffer.concat([start, decipher.final()]), header === sealedText))
    } catch {
      // Another key may have the same id.
    }
  }
  return Either.left(
    "it is not what was written there: it is damaged, or was moved or copied from another key or keyspace; restore it " +
      "there, or write it again by the store"
  )
}
