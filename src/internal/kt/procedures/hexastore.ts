/**
 * A hexastore: triples of subject, predicate and object, each kept under three keys, so that any part of one finds the
 * rest.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { concat, fromLatin1, latin1, none, utf8 } from "../bytes.js"
import { all, define, type Procedure, refuse } from "./define.js"

const parts = ["s", "p", "o"] as const
type Part = typeof parts[number]
type Triple = Readonly<Record<Part, Uint8Array>>

const orders = ["spo", "pos", "osp"] as const

const partsOf = (order: string): ReadonlyArray<Part> =>
  Array.from(order).flatMap((letter) => parts.filter((part) => part === letter))

const separator = utf8("::")

const joined = (order: string, values: ReadonlyArray<Uint8Array>): Uint8Array =>
  concat(utf8(order), ...values.flatMap((value) => [separator, value]))

const keysOf = (triple: Triple): ReadonlyArray<Uint8Array> =>
  orders.map((order) => joined(order, partsOf(order).map((part) => triple[part])))

/** @internal */
export const hexastore: ReadonlyArray<Procedure> = [
  define(
    "hx_add",
    { required: parts },
    (triple, { keyspace }) =>
      Effect.as(keyspace.setMany(keysOf(triple).map((key) => ({ expiresAt: undefined, key, value: none }))), [])
  ),
  define(
    "hx_remove",
    { required: parts },
    (triple, { keyspace }) => Effect.as(keyspace.removeMany(keysOf(triple)), [])
  ),
  define("hx_query", { optional: parts }, (_, { given, keyspace, name }) => {
    const known = parts.filter((part) => given(part) !== undefined)
    if (known.length === 0) return refuse(name, "it needs at least one of s, p and o")
    // The order that begins with what is known.
    const order = orders.find((order) => partsOf(order).slice(0, known.length).every((part) => known.includes(part))) ??
      "spo"
    const values = partsOf(order).flatMap((part) => given(part) ?? [])
    if (known.length === 3) {
      return Effect.map(
        keyspace.head(joined("spo", values)),
        (found) => found._tag === "Some" ? [[utf8("0"), none]] : []
      )
    }
    const unknown = partsOf(order).slice(known.length)
    const prefix = concat(joined(order, values), separator)
    return Effect.map(all(keyspace, { prefix }), (entries) =>
      entries.flatMap(({ key }, i) => {
        const rest = latin1(key.subarray(prefix.length)).split("::")
        return unknown.map((part, j) => [utf8(`${part}${i}`), fromLatin1(rest[j] ?? "")] as const)
      }))
  })
]
