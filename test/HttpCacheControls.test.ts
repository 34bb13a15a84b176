import { kinds } from "./engines.js"
import { suite } from "./suites/httpCacheControls.js"

for (const engine of kinds) suite(engine)
