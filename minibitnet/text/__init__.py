"""Around the tokenizer: what reads files, and what keeps text and tokens apart.

How text becomes ids is told in `minibitnet.bpe`, and what a conversation is in
`minibitnet.tokenizer`. Here is what they need to be right for other people's files and
for whatever people write.

In this order
    `tokenizerfile`  tokenizer.json as byte-pair encoding
    `tokenizerpage`  and such a file written
    `piecespage`     one for pieces with scores, as Llama 2 has them
    `library`        the tokenizers library behind the methods of `BPE`
    `defaultsplit`   and with llama.cpp's default split
    `streaming`      the text of tokens as they come
    `controltokens`  the template writes them, and a message cannot
    `chattemplate`   where a checkpoint has its chat template
    `jinja`          chat templates of other models
"""
