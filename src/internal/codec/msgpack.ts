/**
 * MessagePack by msgpackr, of which only what comes back unchanged is used: the rest is refused, on the way in and out.
 *
 * @internal
 */
import type * as msgpackr from "msgpackr"
// Without its streams and its native addon: what comes back does not depend on the machine, and it loads at once.
import { Packr } from "msgpackr/pack"
import { isUtf8 } from "node:buffer"
import { nameOf, refuseAt } from "./refusal.js"

/** That entry has no types of its own. */
const options: msgpackr.Options = {
  // Plain Uint8Arrays that share nothing with what is stored.
  copyBuffers: true,
  mapsAsObjects: true,
  moreTypes: false,
  useFloat32: 0,
  useRecords: false
}
const packr: msgpackr.Packr = new Packr(options)

/** Deep enough for every document, and not for the stack. */
const maxDepth = 500

const minInt64 = -(2n ** 63n)
const maxUint64 = 2n ** 64n - 1n

/** Read as `__proto_`. */
const refusedMember = "__proto__"

/** Lost at the start of a text of more than 64 bytes. */
const byteOrderMark = "\ufeff"

/**
 * Members are sorted by UTF-16 code units. Throws an `Error` that names the place of what cannot be given back.
 *
 * @internal
 */
export const print = (value: unknown): Uint8Array => new Uint8Array(packr.pack(copy(value, "", 0)))

const refuse = (what: string, path: string): never => refuseAt(what, "MessagePack", path)

/** A checked copy of a value, with a sorted `Map` for each object: msgpackr looks into members of objects by name. */
const copy = (value: unknown, path: string, depth: number): unknown => {
  switch (typeof value) {
    case "string":
      return copyText(value, path)
    case "bigint":
      if (value < minInt64 || value > maxUint64) refuse("a bigint of more than 64 bits", path)
      return value
    case "number":
    case "boolean":
    case "undefined":
      return value
    case "object":
      return value === null ? null : copyObject(value, path, depth)
    default:
      return refuse(typeof value, path)
  }
}

const copyText = (text: string, path: string): string => {
  if (!text.isWellFormed()) refuse("a string with a lone surrogate", path)
  if (text.startsWith(byteOrderMark)) refuse("a string that begins with a byte order mark (U+FEFF)", path)
  return text
}

const copyObject = (value: object, path: string, depth: number): unknown => {
  if (depth === maxDepth) throw new Error(`it is nested more than ${maxDepth} deep, or contains itself`)
  if (Array.isArray(value) && Object.getPrototypeOf(value) === Array.prototype) return copyArray(value, path, depth)
  switch (Object.getPrototypeOf(value)) {
    case Object.prototype:
    case null:
      return copyMembers(value, path, depth)
    case Date.prototype:
      if (value instanceof Date && Number.isNaN(value.getTime())) refuse("an invalid Date", path)
      return value
    case Uint8Array.prototype:
    case Buffer.prototype:
      return value
    default:
      return refuse(nameOf(value), path)
  }
}

const copyArray = (items: ReadonlyArray<unknown>, path: string, depth: number): Array<unknown> => {
  const out: Array<unknown> = []
  for (let i = 0; i < items.length; i++) {
    if (!(i in items)) refuse("a hole in an array", `${path}[${i}]`)
    out.push(copy(items[i], `${path}[${i}]`, depth + 1))
  }
  return out
}

const copyMembers = (value: object, path: string, depth: number): Map<string, unknown> => {
  if (Object.getOwnPropertySymbols(value).length > 0) refuse("a member named by a symbol", path)
  const out = new Map<string, unknown>()
  for (const [name, member] of Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)) {
    const place = `${path}.${name}`
    if (name === refusedMember) refuse(`a member named ${refusedMember}`, place)
    out.set(copyText(name, place), copy(member, place, depth + 1))
  }
  return out
}

/**
 * Throws an `Error` on what `print` does not write.
 *
 * @internal
 */
export const parse = (stored: Uint8Array): unknown => {
  // A view of our own: msgpackr adds a property to the one it is given.
  const bytes = new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength)
  check(Buffer.from(stored.buffer, stored.byteOffset, stored.byteLength))
  return packr.unpack(bytes)
}

/**
 * msgpackr believes lengths before it has seen what they count, and knows many more types. So bytes that are damaged, or
 * not ours, could take gigabytes of memory, or become errors, sets and regular expressions.
 */
const check = (bytes: Buffer): void => {
  let position = 0
  const take = (length: number): number => {
    const start = position
    position += length
    if (position > bytes.length) throw new Error("it ends too early")
    return start
  }
  const uint = (width: number): number => bytes.readUIntBE(take(width), width)
  /** Where the text starts. */
  const text = (length: number): number => {
    const start = take(length)
    let at = start
    // Most texts are short and ASCII, and need no view of their own.
    if (length <= 64) { while (at < position && Number(bytes[at]) < 0x80) at++ }
    if (at < position && !isUtf8(bytes.subarray(at, position))) throw new Error("a text in it is not UTF-8")
    if (bytes[start] === 0xef && length >= 3 && bytes[start + 1] === 0xbb && bytes[start + 2] === 0xbf) {
      throw new Error("a text in it begins with a byte order mark")
    }
    return start
  }
  const items = (count: number, depth: number): void => {
    for (let i = 0; i < count; i++) item(depth)
  }
  const members = (count: number, depth: number): void => {
    for (let i = 0; i < count; i++) {
      const start = textOf(uint(1))
      if (start === undefined) throw new Error("a member in it has a name that is no text")
      if (position - start === refusedMember.length && bytes.toString("latin1", start, position) === refusedMember) {
        throw new Error(`a member in it is named ${refusedMember}`)
      }
      item(depth)
    }
  }
  const textOf = (token: number): number | undefined =>
    token >= 0xa0 && token < 0xc0
      ? text(token & 0x1f)
      : token >= 0xd9 && token <= 0xdb
      ? text(uint(1 << (token - 0xd9)))
      : undefined
  const item = (depth: number): void => {
    if (depth > maxDepth) throw new Error(`it is nested more than ${maxDepth} deep`)
    const token = uint(1)
    if (token < 0x80 || token >= 0xe0) return
    if (token < 0x90) return members(token & 0xf, depth + 1)
    if (token < 0xa0) return items(token & 0xf, depth + 1)
    if (textOf(token) !== undefined) return
    switch (token) {
      case 0xc0: // null
      case 0xc2: // false
      case 0xc3: // true
        return
      case 0xc4: // bytes
      case 0xc5:
      case 0xc6:
        return void take(uint(1 << (token - 0xc4)))
      case 0xcc: // uint8
      case 0xd0: // int8
        return void take(1)
      case 0xcd: // uint16
      case 0xd1: // int16
        return void take(2)
      case 0xca: // float32
      case 0xce: // uint32
      case 0xd2: // int32
        return void take(4)
      case 0xcb: // float64
      case 0xcf: // uint64
      case 0xd3: // int64
        return void take(8)
      case 0xdc:
      case 0xdd:
        return items(uint(2 << (token - 0xdc)), depth + 1)
      case 0xde:
      case 0xdf:
        return members(uint(2 << (token - 0xde)), depth + 1)
      case 0xd4: // undefined
        if (uint(2) === 0) return
        break
      case 0xd6: // timestamps of 32, 64 and 96 bits
        if (uint(1) === 0xff) return void take(4)
        break
      case 0xd7:
        if (uint(1) === 0xff) return void take(8)
        break
      case 0xc7:
        if (uint(2) === 0x0cff) return void take(12)
    }
    throw new Error(`a type in it is not known (0x${token.toString(16)})`)
  }
  item(0)
  if (position < bytes.length) throw new Error("it does not end where it should")
}
