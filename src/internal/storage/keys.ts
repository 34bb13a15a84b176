/**
 * The two kinds of keys, and what the waist promises about them: a bound on their size, and one order on every engine,
 * the byte order of their UTF-8 form.
 *
 * @internal
 */

/** @internal */
export const maxKeyBytes = 2048

/** @internal */
export interface KeyKind<K> {
  readonly name: "text" | "bytes"
  /** Why this cannot be a key, or undefined if it can. */
  readonly issue: (key: K) => string | undefined
  readonly compare: (a: K, b: K) => number
  /** `compare`, or something quicker that orders these keys as that does. */
  readonly comparing: (keys: ReadonlyArray<K>) => (a: K, b: K) => number
  /** The least key that is greater than every key with this prefix, if there is one. */
  readonly afterPrefix: (prefix: K) => K | undefined
  readonly isEmpty: (key: K) => boolean
  /** The same text for the same keys, and for no others: what a key is in memory. */
  readonly identity: (key: K) => string
  readonly fromIdentity: (identity: string) => K
  /** Orders identities as `compare` does the keys. */
  readonly compareIdentities: (a: string, b: string) => number
  /** A copy that its giver cannot change any more. */
  readonly copy: (key: K) => K
  readonly byteLength: (key: K) => number
}

const fixSurrogate = (unit: number): number => unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit

/** Compares as UTF-8 bytes do. JavaScript's own order differs where surrogate pairs meet U+E000 to U+FFFF. */
const compareText = (a: string, b: string): number => {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return fixSurrogate(x) - fixSurrogate(y)
  }
  return a.length - b.length
}

const compareUnits = (a: string, b: string): number => a < b ? -1 : a > b ? 1 : 0

/** What UTF-16 and UTF-8 have in the same order. */
const belowSurrogates = /^[\0-\ud7ff]*$/

const compareBytes = (a: Uint8Array, b: Uint8Array): number => Buffer.compare(a, b)

const afterTextPrefix = (prefix: string): string | undefined => {
  const points = Array.from(prefix)
  while (points.length > 0) {
    const last = points.pop()?.codePointAt(0) ?? 0
    if (last < 0x10ffff) {
      return points.join("") + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1)
    }
  }
  return undefined
}

/** @internal */
export const textKeys: KeyKind<string> = {
  name: "text",
  issue: (key) => {
    if (typeof key !== "string") return "it is not a string"
    if (key.includes("\0")) return "it contains NUL (U+0000); remove or escape it"
    if (!key.isWellFormed()) return "it contains a lone surrogate, which has no UTF-8 form; check where it was cut"
    if (key.length * 3 > maxKeyBytes) {
      const bytes = Buffer.byteLength(key)
      if (bytes > maxKeyBytes) {
        return `it is ${bytes} bytes long and the limit is ${maxKeyBytes}; use a hash of it as the key`
      }
    }
    return undefined
  },
  compare: compareText,
  comparing: (keys) => keys.every((key) => belowSurrogates.test(key)) ? compareUnits : compareText,
  afterPrefix: afterTextPrefix,
  isEmpty: (key) => key === "",
  identity: (key) => key,
  fromIdentity: (identity) => identity,
  compareIdentities: compareText,
  copy: (key) => key,
  byteLength: (key) => Buffer.byteLength(key)
}

/**
 * A copy that is a plain `Uint8Array`. (`slice` of a `Buffer` is a view of the same memory.)
 *
 * @internal
 */
export const copyBytes = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes)

const afterBytesPrefix = (prefix: Uint8Array): Uint8Array | undefined => {
  let end = prefix.length
  while (end > 0 && prefix[end - 1] === 0xff) end--
  if (end === 0) return undefined
  const after = copyBytes(prefix.subarray(0, end))
  after[end - 1] = (after[end - 1] ?? 0) + 1
  return after
}

/** @internal */
export const bytesKeys: KeyKind<Uint8Array> = {
  name: "bytes",
  issue: (key) => {
    if (!(key instanceof Uint8Array)) return "it is not a Uint8Array"
    if (key.length > maxKeyBytes) {
      return `it is ${key.length} bytes long and the limit is ${maxKeyBytes}; use a hash of it as the key`
    }
    return undefined
  },
  compare: compareBytes,
  comparing: () => compareBytes,
  afterPrefix: afterBytesPrefix,
  isEmpty: (key) => key.length === 0,
  identity: (key) =>
    (key instanceof Buffer ? key : Buffer.from(key.buffer, key.byteOffset, key.byteLength)).toString("latin1"),
  fromIdentity: (identity) => copyBytes(Buffer.from(identity, "latin1")),
  compareIdentities: compareUnits,
  copy: copyBytes,
  byteLength: (key) => key.length
}
