/**
 * The procedures that every server has: those of the original's script.
 *
 * @internal
 */
import type { Procedure } from "./define.js"
import { hashes } from "./hash.js"
import { hexastore } from "./hexastore.js"
import { lists } from "./list.js"
import { misc } from "./misc.js"
import { queues } from "./queue.js"
import { schedules } from "./schedule.js"
import { sets } from "./set.js"

/** @internal */
export const procedures: ReadonlyMap<string, Procedure> = new Map(
  [...hashes, ...sets, ...lists, ...queues, ...schedules, ...hexastore, ...misc].map((
    procedure
  ) => [procedure.name, procedure])
)
