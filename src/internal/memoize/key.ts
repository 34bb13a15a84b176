/**
 * The arguments of a call as a key. Two keys are equal only if the encoded arguments are: each kind of value has a form
 * of its own, every form ends where it ends, and what has no form is refused.
 *
 * @internal
 */
import { nameOf, refuseAt } from "../codec/refusal.js"

/**
 * Throws an `Error` that names what has no form.
 *
 * @internal
 */
export const print = (value: unknown): string => {
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
      return value === null ? "null" : printObject(value)
    default:
      return refuseAt(`a ${typeof value}`, "a key", "")
  }
}

const printObject = (value: object): string => {
  if (Array.isArray(value)) return printArray(value)
  if (value instanceof Date) return `Date(${value.getTime()})`
  if (value instanceof Uint8Array) return `Bytes(${Buffer.from(value).toString("base64")})`
  if (value instanceof Set) return `Set(${Array.from(value, print).sort().join()})`
  if (value instanceof Map) {
    return `Map(${Array.from(value, ([key, item]) => `${print(key)}:${print(item)}`).sort().join()})`
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return refuseAt(nameOf(value), "a key", "")
  return `{${
    Object.entries(value)
      .sort(([a], [b]) => a < b ? -1 : 1)
      .map(([name, item]) => `${JSON.stringify(name)}:${print(item)}`)
      .join()
  }}`
}

/** Most keys are one, of few and short arguments. */
const printArray = (items: ReadonlyArray<unknown>): string => {
  let text = "["
  for (let i = 0; i < items.length; i++) text += i === 0 ? print(items[i]) : `,${print(items[i])}`
  return `${text}]`
}
