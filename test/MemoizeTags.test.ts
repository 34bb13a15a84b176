import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeTags.js"

for (const engine of kinds) suite(engine)
