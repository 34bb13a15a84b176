import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeTimeouts.js"

for (const engine of kinds) suite(engine)
