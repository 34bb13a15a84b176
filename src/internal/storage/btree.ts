/**
 * `sorted-btree` is a CommonJS module: its class is the default import for a bundler, and `default` of that for Node.
 *
 * @internal
 */
import sortedBTree from "sorted-btree"

type Imported = typeof sortedBTree
type Class = Imported extends { readonly default: infer C } ? C : Imported

/** @internal */
export const BTree = ("default" in sortedBTree ? sortedBTree.default : sortedBTree) as Class

/** @internal */
export type Tree<K, V> = InstanceType<typeof BTree<K, V>>
