"""Numbers of 16 bits: bfloat16 and float16 from and to float32."""
