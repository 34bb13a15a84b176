/**
 * Sets: maps in one record, whose values are empty.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import { fromLatin1, latin1, none } from "../bytes.js"
import { together } from "../databases.js"
import type { ByteMap } from "../formats.js"
import { ordinals } from "../ordinals.js"
import { answer, define, edit, load, maps, num, type Pairs, type Procedure, save } from "./define.js"

const set = { required: ["key"] } as const

const members = (map: ByteMap): Pairs => ordinals(Array.from(map.keys(), fromLatin1))

const combining = (name: string, isIn: (member: string, a: ByteMap, b: ByteMap) => boolean): Procedure =>
  define(name, { optional: ["dest"], required: ["key", "key2"] }, ({ key, key2 }, context) => {
    const dest = context.given("dest")
    const combined = Effect.zipWith(load(maps, context, key), load(maps, context, key2), (a, b): ByteMap => {
      const all = [...a.keys(), ...b.keys()].filter((member) => isIn(member, a, b))
      return new Map(all.map((member) => [member, none]))
    })
    return together(
      [context.database],
      dest === undefined
        ? Effect.map(combined, members)
        : Effect.flatMap(combined, (map) => Effect.as(save(maps, context, dest, map), members(map)))
    )
  })

/** @internal */
export const sets: ReadonlyArray<Procedure> = [
  define("sadd", set, ({ key }, context) =>
    edit(maps, context, key, (map) => {
      const before = map.size
      for (const [, member] of context.data) map.set(latin1(member), none)
      return [num(map.size - before), map.size > before]
    })),
  define("scard", set, ({ key }, context) => Effect.map(load(maps, context, key), ({ size }) => num(size))),
  define(
    "sismember",
    { required: ["key", "value"] },
    ({ key, value }, context) => Effect.map(load(maps, context, key), (map) => num(Number(map.has(latin1(value)))))
  ),
  define("smembers", set, ({ key }, context) => Effect.map(load(maps, context, key), members)),
  define("spop", set, ({ key }, context) =>
    edit(maps, context, key, (map) => {
      for (const member of map.keys()) {
        map.delete(member)
        return [[...num(1), ...answer("value", fromLatin1(member))], true]
      }
      return [num(0), false]
    })),
  define("srem", set, ({ key }, context) =>
    edit(maps, context, key, (map) => {
      const before = map.size
      for (const [, member] of context.data) map.delete(latin1(member))
      return [num(before - map.size), map.size < before]
    })),
  combining("sinter", (member, a, b) => a.has(member) && b.has(member)),
  combining("sunion", () => true),
  combining("sdiff", (member, a, b) => a.has(member) && !b.has(member))
]
