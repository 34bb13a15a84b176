/**
 * How the server writes maps and arrays into one record: lengths as numbers of seven bits a byte, the most significant
 * first, each but the last with the eighth bit set.
 *
 * @internal
 */
import { fromLatin1, latin1 } from "./bytes.js"

const varnumLength = (value: number): number => {
  let length = 1
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) length++
  return length
}

const writeVarnum = (target: Uint8Array, at: number, value: number): number => {
  const end = at + varnumLength(value)
  let rest = value
  for (let i = end - 1; i >= at; i--) {
    target[i] = (rest % 128) | (i === end - 1 ? 0 : 0x80)
    rest = Math.floor(rest / 128)
  }
  return end
}

/**
 * A length by itself.
 *
 * @internal
 */
export const varnum = (value: number): Uint8Array => {
  const target = new Uint8Array(varnumLength(value))
  writeVarnum(target, 0, value)
  return target
}

/**
 * Reads a length, and where it ends. Undefined if it is longer than what it stands in, which also keeps it exact.
 *
 * @internal
 */
export const readVarnum = (
  source: Uint8Array,
  start: number
): { readonly end: number; readonly value: number } | undefined => {
  let value = 0
  for (let at = start; at < source.length; at++) {
    const byte = source[at] ?? 0
    value = value * 128 + (byte & 0x7f)
    if (value > source.length) return undefined
    if (byte < 0x80) return { end: at + 1, value }
  }
  return undefined
}

/**
 * Pieces, each after its length. Lengths of `group` pieces stand before them.
 */
const write = (pieces: ReadonlyArray<Uint8Array>, group: 1 | 2): Uint8Array => {
  let size = 0
  for (const { length } of pieces) size += varnumLength(length) + length
  const target = new Uint8Array(size)
  let at = 0
  for (let i = 0; i < pieces.length; i += group) {
    const together = pieces.slice(i, i + group)
    for (const { length } of together) at = writeVarnum(target, at, length)
    for (const piece of together) {
      target.set(piece, at)
      at += piece.length
    }
  }
  return target
}

/** Reads what `write` wrote; undefined if it is something else. The pieces are views of it. */
const read = (source: Uint8Array, group: 1 | 2): Array<Uint8Array> | undefined => {
  const pieces: Array<Uint8Array> = []
  let at = 0
  while (at < source.length) {
    const lengths: Array<number> = []
    for (let i = 0; i < group; i++) {
      const length = readVarnum(source, at)
      if (length === undefined) return undefined
      at = length.end
      lengths.push(length.value)
    }
    for (const length of lengths) {
      if (at + length > source.length) return undefined
      pieces.push(source.subarray(at, at + length))
      at += length
    }
  }
  return pieces
}

/** @internal */
export const writeArray = (items: ReadonlyArray<Uint8Array>): Uint8Array => write(items, 1)

/** @internal */
export const readArray = (source: Uint8Array): Array<Uint8Array> | undefined => read(source, 1)

/**
 * A map by names as text of a code unit a byte.
 *
 * @internal
 */
export type ByteMap = Map<string, Uint8Array>

/** @internal */
export const writeMap = (map: ReadonlyMap<string, Uint8Array>): Uint8Array =>
  write(Array.from(map, ([name, value]) => [fromLatin1(name), value]).flat(), 2)

/** @internal */
export const readMap = (source: Uint8Array): ByteMap | undefined => {
  const pieces = read(source, 2)
  if (pieces === undefined) return undefined
  const map: ByteMap = new Map()
  pieces.forEach((piece, i) => {
    if (i % 2 === 1) map.set(latin1(pieces[i - 1] ?? piece), piece)
  })
  return map
}
