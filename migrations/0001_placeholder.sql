CREATE TABLE "x" (a); -- \(no)
