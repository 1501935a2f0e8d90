import millrace

millrace.output("value").write_text(str(millrace.inputs()["value"].value + 1))
