/**
 * Procedures on plain records.
 *
 * @internal
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Failure } from "../../../KtTransport.js"
import type * as Storage from "../../../Storage.js"
import { bytesOf, equal, latin1, utf8 } from "../bytes.js"
import { type Bytes, together } from "../databases.js"
import { keep, toXt, xtMax } from "../expiry.js"
import { fnv, murmur } from "../hashing.js"
import { parseLua, printLua } from "../numbers.js"
import { touch, touchRelative } from "../records.js"
import { all, answer, define, type Pairs, type Procedure, refuse } from "./define.js"

const pairs = (entries: ReadonlyArray<Storage.Entry<Uint8Array>>): Pairs =>
  entries.map(({ key, value }) => [key, bytesOf(value)])

/** Changes when records expire, by a number that each is given; answers with what `told` makes of a time. */
const touching = (
  name: string,
  touched: (keyspace: Bytes, key: Uint8Array, given: number | undefined) => ReturnType<typeof touch>,
  told: (expiresAt: number | undefined, given: number) => number
): Procedure =>
  define(name, {}, (_, { data, database, keyspace }) =>
    together(
      [database],
      Effect.map(
        Effect.forEach(data, ([key, value]) => {
          const given = parseLua(latin1(value))
          return Effect.map(
            touched(keyspace, key, given),
            Arr.flatMap(Option.match({
              onNone: (): Pairs => [],
              onSome: ({ expiresAt }): Pairs => [[key, utf8(printLua(told(expiresAt, Math.trunc(given ?? 0))))]]
            }))
          )
        }),
        Arr.flatten
      )
    ))

/** @internal */
export const misc: ReadonlyArray<Procedure> = [
  define("move", { required: ["src", "dest"] }, ({ dest, src }, context) =>
    together(
      [context.database],
      Effect.flatMap(context.keyspace.get(src), (found): Effect.Effect<Pairs, Failure> => {
        if (Option.isNone(found)) return refuse("move", "there is no record at the source")
        const { expiresAt, value } = found.value
        return equal(src, dest) ? Effect.succeed([]) : Effect.as(
          Effect.zipRight(context.keyspace.set(dest, value, expiresAt), context.keyspace.remove(src)),
          []
        )
      })
    )),
  define("list", {}, (_, { keyspace }) => Effect.map(all(keyspace, {}), pairs)),
  define(
    "get_range",
    { optional: ["start", "stop"] },
    (_, { given, keyspace }) => Effect.map(all(keyspace, { from: given("start"), through: given("stop") }), pairs)
  ),
  define("hash", { optional: ["fn"], required: ["str"] }, ({ str }, { given }) => {
    const fn = given("fn")
    const value = fn !== undefined && latin1(fn) === "fnv" ? fnv(str) : murmur(str)
    return Effect.succeed([[utf8("hash"), utf8(String(value))]])
  }),
  define(
    "get_part",
    { optional: ["start", "stop"], required: ["key"] },
    ({ key }, { keyspace, number }) =>
      Effect.map(keyspace.get(key), (found) =>
        Option.isNone(found)
          ? []
          : answer("value", bytesOf(found.value.value).slice(number("start") ?? 0, number("stop"))))
  ),
  touching(
    "touch_bulk",
    (keyspace, key, given) =>
      touch(keyspace, [key], given === undefined ? keep : { _tag: "Xt", xt: Math.trunc(given) }),
    toXt
  ),
  // What never expires is told as if it would then.
  touching(
    "touch_bulk_relative",
    (keyspace, key, given) => touchRelative(keyspace, [key], Math.trunc(given ?? 0) * 1000),
    (expiresAt, given) => expiresAt === undefined ? xtMax + given : toXt(expiresAt)
  ),
  define(
    "expire_time",
    { required: ["key"] },
    ({ key }, { keyspace }) =>
      Effect.map(
        keyspace.head(key),
        (found) => Option.isNone(found) ? [] : [[utf8("xt"), utf8(String(toXt(found.value.expiresAt)))]]
      )
  ),
  define("get_error", {}, (_, { engine }) => {
    const { code, message } = engine.lastError()
    return Effect.succeed([[utf8("code"), utf8(String(code))], [utf8("message"), utf8(message)]])
  }),
  define("_error_code", { optional: ["flag"] }, (_, { name, number }) => {
    const flag = number("flag") ?? 0
    return Number.isInteger(flag) && flag >= 1 && flag <= 11
      ? refuse(name, `as asked by flag ${flag}`)
      : Effect.succeed([])
  })
]
