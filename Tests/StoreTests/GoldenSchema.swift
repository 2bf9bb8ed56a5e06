let goldenSchema = ""
