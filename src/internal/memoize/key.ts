/**
 * The arguments of a call as a key. Two keys are equal only if the encoded arguments are: each kind of value has a form
 * of its own, every form ends where it ends, and what has no form is refused.
 *
 * @internal
 */
import { hash } from "node:crypto"
import { nameOf, refuseAt } from "../codec/refusal.js"

/**
 * Throws an `Error` that names the place of what has no form.
 *
 * @internal
 */
export const print = (value: unknown): string => printAt(value, "")

const printAt = (value: unknown, path: string): string => {
  switch (typeof value) {
    // Lone surrogates are escaped, so that what has no UTF-8 form has a key of its own, too.
    case "string":
      return JSON.stringify(value)
    case "number":
      return Object.is(value, -0) ? "-0" : String(value)
    case "bigint":
      return `${value}n`
    case "boolean":
    case "undefined":
      return String(value)
    case "object":
      return value === null ? "null" : printObject(value, path)
    default:
      return refuseAt(`a ${typeof value}`, "a key", path)
  }
}

const printObject = (value: object, path: string): string => {
  if (Array.isArray(value)) return `[${Array.from(value, (item, i) => printAt(item, `${path}[${i}]`)).join()}]`
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (value instanceof Uint8Array) return `Bytes(${Buffer.from(value).toString("base64")})`
  if (value instanceof Set) return `Set(${Array.from(value, (item) => printAt(item, path)).sort().join()})`
  if (value instanceof Map) {
    return `Map(${Array.from(value, ([key, item]) => `${printAt(key, path)}:${printAt(item, path)}`).sort().join()})`
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return refuseAt(nameOf(value), "a key", path)
  return `{${
    Object.entries(value)
      .sort(([a], [b]) => a < b ? -1 : 1)
      .map(([name, item]) => `${JSON.stringify(name)}:${printAt(item, `${path}.${name}`)}`)
      .join()
  }}`
}

/** @internal */
export const digest = (text: string): string => hash("sha256", text)
