/**
 * The methods of a `Set`.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import type { Key, Set } from "../../KtCompat.js"
import type { Pair } from "../../KtTransport.js"
import { andThen } from "../done.js"
import { ordinals } from "../kt/ordinals.js"
import { call, clear, type Container, counted, listed, otherKey, type Parameters, takenOut } from "./containers.js"
import { anyKey, encodeAll } from "./values.js"

/** @internal */
export const makeSet = <A>(container: Container<A>): Set<A> => {
  const { at, values } = container
  const ask = (name: string, parameters?: Parameters, data?: ReadonlyArray<Pair>) =>
    call(container, name, "key", parameters, data)
  const many = (procedure: string, members: Iterable<A>) =>
    andThen(
      encodeAll(values, members, at),
      (all) => counted(ask(procedure, {}, ordinals(all)))
    )
  const combined = (procedure: string, other: Key, dest: Key | undefined) =>
    Effect.flatMap(
      anyKey(other),
      (key2) =>
        andThen(otherKey(dest), (dest) =>
          Effect.flatMap(ask(procedure, { dest, key2 }), (pairs) => listed(container, pairs)))
    )
  return {
    add: (...members) => many("sadd", members),
    addBulk: (members) => many("sadd", members),
    clear: clear(container),
    contains: (member) =>
      andThen(
        values.encode(member, at),
        (value) => Effect.map(counted(ask("sismember", { value })), (count) => count > 0)
      ),
    count: counted(Effect.suspend(() => ask("scard"))),
    difference: (other, dest) => combined("sdiff", other, dest),
    intersection: (other, dest) => combined("sinter", other, dest),
    members: Effect.flatMap(Effect.suspend(() => ask("smembers")), (pairs) => listed(container, pairs)),
    pop: takenOut(container, Effect.suspend(() => ask("spop")), (member) => ask("sadd", {}, ordinals([member]))),
    remove: (...members) => many("srem", members),
    removeBulk: (members) => many("srem", members),
    union: (other, dest) => combined("sunion", other, dest)
  }
}
