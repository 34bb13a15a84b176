import { kinds } from "./engines.js"
import { suite } from "./suites/memoizeControls.js"

for (const engine of kinds) suite(engine)
