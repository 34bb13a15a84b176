import { kinds } from "./engines.js"
import { suite } from "./suites/ktQueueProcedures.js"

for (const engine of kinds) suite(engine)
