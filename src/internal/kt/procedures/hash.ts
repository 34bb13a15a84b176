/**
 * Hashes: maps in one record.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { bytesOf, concat, fromLatin1, latin1, utf8 } from "../bytes.js"
import { together } from "../databases.js"
import {
  arrays,
  type Context,
  creates,
  define,
  edit,
  load,
  mapOf,
  maps,
  num,
  packed,
  type Pairs,
  pairsOf,
  type Procedure,
  save,
  value
} from "./define.js"

const hash = { required: ["table_key"] } as const
const field = { required: ["table_key", "key"] } as const
const fieldAndValue = { required: ["table_key", "key", "value"] } as const

const packing = (name: string, what: (name: string, value: Uint8Array) => Uint8Array): Procedure =>
  define(name, field, ({ key, table_key }, context) =>
    together(
      [context.database],
      Effect.flatMap(load(maps, context, table_key), (fields) =>
        fields.size === 0
          ? Effect.succeed(num(0))
          : Effect.as(
            save(arrays, context, key, Array.from(fields, ([name, value]) => what(name, value))),
            num(fields.size)
          ))
    ))

/** Where the parts of a container go that is unpacked. */
const prefixOf = (given: Context<"prefix">["given"], key: Uint8Array): Uint8Array =>
  given("prefix") ?? concat(key, utf8(":"))

/** @internal */
export const hashes: ReadonlyArray<Procedure> = [
  define("hmset", hash, ({ table_key }, context) =>
    edit(maps, context, table_key, (fields) => {
      const added = mapOf(context.data)
      for (const [name, value] of added) fields.set(name, value)
      return [num(added.size), true]
    })),
  define(
    "hmget",
    hash,
    ({ table_key }, context) =>
      Effect.map(load(maps, context, table_key), (fields) =>
        [...mapOf(context.data).keys()].flatMap((name): Pairs => {
          const found = fields.get(name)
          return found === undefined ? [] : [[fromLatin1(name), found]]
        }))
  ),
  define(
    "hmdel",
    { ...hash, options: ["strict"] },
    ({ table_key }, context) =>
      edit(maps, context, table_key, (fields, isThere) => {
        let removed = 0
        for (const name of mapOf(context.data).keys()) if (fields.delete(name)) removed++
        return [num(removed), removed > 0 || creates(context, isThere)]
      })
  ),
  define("hgetall", hash, ({ table_key }, context) => Effect.map(load(maps, context, table_key), pairsOf)),
  define("hset", fieldAndValue, ({ key, table_key, value }, context) =>
    edit(maps, context, table_key, (fields) => {
      fields.set(latin1(key), value)
      return [num(1), true]
    })),
  define("hsetnx", fieldAndValue, ({ key, table_key, value }, context) =>
    edit(maps, context, table_key, (fields) => {
      const name = latin1(key)
      if (fields.has(name)) return [num(0), false]
      fields.set(name, value)
      return [num(1), true]
    })),
  define(
    "hget",
    field,
    ({ key, table_key }, context) =>
      Effect.map(load(maps, context, table_key), (fields) => value(fields.get(latin1(key))))
  ),
  define(
    "hdel",
    { ...field, optional: ["strict"] },
    ({ key, table_key }, context) =>
      edit(maps, context, table_key, (fields, isThere) => {
        const removed = fields.delete(latin1(key))
        return [num(Number(removed)), removed || creates(context, isThere)]
      })
  ),
  define("hlen", hash, ({ table_key }, context) => Effect.map(load(maps, context, table_key), ({ size }) => num(size))),
  define(
    "hcontains",
    field,
    ({ key, table_key }, context) =>
      Effect.map(load(maps, context, table_key), (fields) => num(Number(fields.has(latin1(key)))))
  ),
  define("hunpack", { optional: ["prefix"], required: ["table_key"] }, ({ table_key }, context) => {
    const prefix = prefixOf(context.given, table_key)
    return together(
      [context.database],
      Effect.flatMap(load(maps, context, table_key), (fields) =>
        Effect.as(
          context.keyspace.setMany(
            Array.from(fields, ([name, value]) => ({
              expiresAt: undefined,
              key: concat(prefix, fromLatin1(name)),
              value
            }))
          ),
          num(fields.size)
        ))
    )
  }),
  define(
    "hpack",
    { optional: ["start", "stop", "count", "strict"], required: ["table_key"] },
    ({ table_key }, context) =>
      together(
        [context.database],
        Effect.flatMap(packed(context, table_key), (entries) =>
          edit(maps, context, table_key, (fields) => {
            for (const { key, value } of entries) fields.set(latin1(key), bytesOf(value))
            return [num(entries.length), entries.length > 0]
          }))
      )
  ),
  packing("hpackkeys", (name) => fromLatin1(name)),
  packing("hpackvalues", (_, value) => value)
]
