/**
 * Operations on records of any databases, all or none of which are done.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { KtError } from "../../KtError.js"
import type { Address, Database as Reference, Failure, Item, Stored } from "../../KtTransport.js"
import { withNow } from "../storage/compat.js"
import { latin1 } from "./bytes.js"
import { type Database, stored, together } from "./databases.js"
import { expiresAt } from "./expiry.js"

/** Finds a database, or says that there is none. */
type Find = (reference: Reference) => Either.Either<Database, KtError>

/** What is to be done, by databases. */
const grouped = <A extends { readonly db: Reference }>(
  find: Find,
  items: ReadonlyArray<A>
): Either.Either<ReadonlyMap<Database, Array<A>>, KtError> => {
  const groups = new Map<Database, Array<A>>()
  let last: Reference | undefined
  let group: Array<A> = []
  for (const item of items) {
    // Most often all are of one.
    if (item.db !== last) {
      const database = find(item.db)
      if (Either.isLeft(database)) return Either.left(database.left)
      group = groups.get(database.right) ?? []
      groups.set(database.right, group)
      last = item.db
    }
    group.push(item)
  }
  return Either.right(groups)
}

/** Does something in each database, and all of it in one transaction. */
const each = <A extends { readonly db: Reference }, B>(
  find: Find,
  items: ReadonlyArray<A>,
  use: (database: Database, items: ReadonlyArray<A>) => Effect.Effect<B, Failure>
): Effect.Effect<ReadonlyArray<B>, Failure> => {
  const groups = grouped(find, items)
  if (Either.isLeft(groups)) return Effect.fail(groups.left)
  const all = Effect.forEach(groups.right, ([database, items]) => use(database, items))
  return groups.right.size < 2 ? all : together(groups.right.keys(), all)
}

/** @internal */
export const getMany = (
  find: Find,
  addresses: ReadonlyArray<Address>
): Effect.Effect<ReadonlyArray<Option.Option<Stored>>, Failure> =>
  Effect.map(
    each(find, addresses, (database, items) =>
      Effect.map(
        database.keyspace.getMany(items.map(({ key }) => key)),
        (found) => items.map((address, i) => [address, Option.map(found[i] ?? Option.none(), stored)] as const)
      )),
    (groups) => {
      const only = groups[0]
      if (only !== undefined && groups.length === 1) return only.map(([, found]) => found)
      const found = new Map(groups.flat())
      return addresses.map((address) => found.get(address) ?? Option.none())
    }
  )

/** @internal */
export const setMany = (find: Find, items: ReadonlyArray<Item>): Effect.Effect<void, Failure> =>
  withNow((now) =>
    Effect.asVoid(each(find, items, (database, items) => {
      const entries = (current: ReadonlyMap<string, Stored>) =>
        items.map(({ expiry, key, value }) => ({
          expiresAt: expiresAt(expiry, now, expiry._tag === "Keep" ? current.get(latin1(key)) : undefined),
          key,
          value
        }))
      const kept = items.filter(({ expiry }) => expiry._tag === "Keep").map(({ key }) => key)
      if (kept.length === 0) return database.keyspace.setMany(entries(new Map()))
      return together(
        [database],
        Effect.flatMap(database.keyspace.getMany(kept), (found) =>
          database.keyspace.setMany(
            entries(new Map(found.flatMap(Option.toArray).map((entry) => [latin1(entry.key), stored(entry)])))
          ))
      )
    }))
  )

/** @internal */
export const removeMany = (find: Find, addresses: ReadonlyArray<Address>): Effect.Effect<number, Failure> =>
  Effect.map(
    each(find, addresses, (database, items) => database.keyspace.removeMany(items.map(({ key }) => key))),
    (counts) => counts.reduce((sum, count) => sum + count, 0)
  )
