import millrace

millrace.output("value").write_text("0")
