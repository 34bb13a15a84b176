/**
 * Operations on records of any databases, all or none of which are done.
 *
 * @internal
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { KtError } from "../../KtError.js"
import type { Address, Database as Reference, Failure, Item, Stored } from "../../KtTransport.js"
import { withNow } from "../storage/compat.js"
import { latin1 } from "./bytes.js"
import { type Database, stored, together } from "./databases.js"
import { expiresAt } from "./expiry.js"

/** Finds a database, or says that there is none. */
type Find = (reference: Reference) => Database | KtError

/** What is to be done, by databases. */
const grouped = <A extends { readonly db: Reference }>(
  find: Find,
  items: ReadonlyArray<A>
): ReadonlyMap<Database, Array<A>> | KtError => {
  const groups = new Map<Database, Array<A>>()
  let last: Reference | undefined
  let group: Array<A> = []
  for (const item of items) {
    // Most often all are of one.
    if (item.db !== last) {
      const database = find(item.db)
      if (database instanceof KtError) return database
      group = groups.get(database) ?? []
      groups.set(database, group)
      last = item.db
    }
    group.push(item)
  }
  // Whoever asks, those of several databases are locked in one order.
  return new Map(Array.from(groups).sort(([a], [b]) => a.index - b.index))
}

/** The entries of items, of which some may keep the expiry that they have. */
const entriesOf = (items: ReadonlyArray<Item>, now: number, current: ReadonlyMap<string, Stored>) =>
  items.map(({ expiry, key, value }) => ({
    expiresAt: expiresAt(expiry, now, expiry._tag === "Keep" ? current.get(latin1(key)) : undefined),
    key,
    value
  }))

const setIn = (database: Database, items: ReadonlyArray<Item>, now: number): Effect.Effect<void, Failure> => {
  const { keyspace } = database
  const kept = items.filter(({ expiry }) => expiry._tag === "Keep").map(({ key }) => key)
  if (kept.length === 0) return keyspace.setMany(entriesOf(items, now, new Map()))
  return together(
    [database],
    Effect.flatMap(keyspace.getMany(kept), (found) =>
      keyspace.setMany(
        entriesOf(items, now, new Map(found.flatMap(Option.toArray).map((entry) => [latin1(entry.key), stored(entry)])))
      ))
  )
}

/** @internal */
export const makeBulk = (find: Find) => {
  /** Does something in each database, and all of it in one transaction. */
  const each = <A extends { readonly db: Reference }, B>(
    items: ReadonlyArray<A>,
    use: (database: Database, items: ReadonlyArray<A>) => Effect.Effect<B, Failure>
  ): Effect.Effect<ReadonlyArray<B>, Failure> => {
    const groups = grouped(find, items)
    if (groups instanceof KtError) return Effect.fail(groups)
    const all = Effect.forEach(groups, ([database, items]) => use(database, items))
    return groups.size < 2 ? all : together(groups.keys(), all)
  }
  return {
    getMany: (addresses: ReadonlyArray<Address>): Effect.Effect<ReadonlyArray<Option.Option<Stored>>, Failure> =>
      Effect.map(
        each(addresses, ({ keyspace }, items) =>
          Effect.map(
            keyspace.getMany(items.map(({ key }) => key)),
            (found) => items.map((address, i) => [address, Option.map(found[i] ?? Option.none(), stored)] as const)
          )),
        (groups) => {
          const found = new Map(groups.flat())
          return addresses.map((address) => found.get(address) ?? Option.none())
        }
      ),
    removeMany: (addresses: ReadonlyArray<Address>): Effect.Effect<number, Failure> =>
      Effect.map(
        each(addresses, ({ keyspace }, items) => keyspace.removeMany(items.map(({ key }) => key))),
        (counts) => counts.reduce((sum, count) => sum + count, 0)
      ),
    setMany: (items: ReadonlyArray<Item>): Effect.Effect<void, Failure> =>
      withNow((now) => Effect.asVoid(each(items, (database, items) => setIn(database, items, now))))
  }
}
