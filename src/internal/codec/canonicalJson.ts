/**
 * Canonical JSON (RFC 8785): members sorted by UTF-16 code units, numbers and strings as ECMAScript prints them, no white
 * space. Unlike `JSON.stringify`, what JSON has no form for is refused and not dropped or replaced: it could not be
 * given back.
 *
 * @internal
 */
import { nameOf, refuseAt } from "./refusal.js"

/**
 * Throws an `Error` that names the place of what cannot be printed.
 *
 * @internal
 */
export const print = (value: unknown): string => printAt(value, "")

const printAt = (value: unknown, path: string): string => {
  switch (typeof value) {
    case "string":
      if (!value.isWellFormed()) refuse("a string with a lone surrogate", path)
      return JSON.stringify(value)
    case "number":
      if (!Number.isFinite(value)) refuse(String(value), path)
      return JSON.stringify(value)
    case "boolean":
      return value ? "true" : "false"
    case "object":
      return value === null ? "null" : Array.isArray(value) ? printArray(value, path) : printObject(value, path)
    default:
      return refuse(typeof value, path)
  }
}

const printArray = (items: ReadonlyArray<unknown>, path: string): string => {
  let out = ""
  // By index: a hole is `undefined`, and refused as that.
  for (let i = 0; i < items.length; i++) out += (i === 0 ? "" : ",") + printAt(items[i], `${path}[${i}]`)
  return `[${out}]`
}

const printObject = (value: object, path: string): string => {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) {
    refuse(nameOf(value), path)
  }
  let out = ""
  for (const [key, member] of Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)) {
    // A member that is undefined is a member that is not there.
    if (member === undefined) continue
    out += `${out === "" ? "" : ","}${printAt(key, path)}:${printAt(member, `${path}.${key}`)}`
  }
  return `{${out}}`
}

const refuse = (what: string, path: string): never => refuseAt(what, "JSON", path)
