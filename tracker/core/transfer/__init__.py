"""Transfer encodings: each shows a decoded body and splices changes into the encoded one."""
