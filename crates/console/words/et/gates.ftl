# Väravad: kus seansse jõustatakse.

gates-title = Väravad
gates-lead = Iga koht, mis päringuid lubab, ja kui täpselt see autoriteeti järgib.
gates-caption = Ühendatud väravad
gates-none = Ükski värav pole ühendatud.
gates-denied = Väravaid näevad ainult paigalduse operaatorid.
gates-denied-why = Väravad teenivad kõiki meeskondi ning nende nimed ja aadressid ütlevad, kuidas paigaldus on ehitatud. Meeskonna server.operators_tenant administraatorid näevad neid siin ja operaatorid käsuga „portcullis gates list“.
gates-denied-count = { $confirmed } väravat { $gates } väravast on rakendanud uusima muudatuse, mida te näete.
gates-denied-receipt = Nende arvu näete iga väljalogimise kviitungil: mitu väravat on selle kinnitanud ja mitme millisekundiga.
gates-head = Logi pea: revisjon { $revision }
gates-of-one = Kahte autoriteeti järgival väraval on kummagi kohta oma rida.
gates-partial = Teiste autoriteetide väravaid ei saanud lugeda. Need on vastanud autoriteedi omad.
gates-omitted = Veel { $count } voogu ei ole loetletud.
gates-column-name = Nimi
gates-column-version = Versioon
gates-column-replica = Autoriteet
gates-column-address = Aadress
gates-column-mode = Režiim
gates-column-fresh = Värske seisuga
gates-column-lag = Maas
gates-column-skew = Kell
gates-column-streams = Vood
gates-column-connected = Ühendatud
gates-mode-1 = Range
gates-mode-2 = Parim püüe
gates-mode-0 = Teadmata
gates-mode-2-why = Selle kohta piir ei kehti: see lubab edasi ka siis, kui on ära lõigatud.
gates-lag =
    { $count ->
        [0] Ajakohane
        [one] Ühe revisjoni võrra maas
       *[other] { $count } revisjoni võrra maas
    }
gates-stale = Aegunud
gates-fresh = Värske
gates-unproven = Tõend puudub
gates-unknown = Teadmata
gates-ago = { $milliseconds } ms tagasi
gates-bound = { $milliseconds } ms
gates-skew = { $milliseconds } ms
gates-delays = Tühistamisest jõustamiseni
gates-delays-hint = Kord minutis avab autoriteet omaenda seansi, lõpetab selle ja mõõdab, millal iga värav on selle langetanud. Need on viimase tunni viivitused.
gates-delays-caption = Viimase tunni viivitused
gates-delays-none = Mõõtmisi veel ei ole.
gates-delays-median = Mediaan
gates-delays-p99 = 99. protsentiil
gates-delays-most = Aeglaseim
gates-delays-missed = Hiljem kui värava piir
gates-delays-up-to = Kuni { $milliseconds } ms
gates-delays-range = Viivitus
gates-delays-gates = Mõõtmisi
gates-delays-chart = { $count } mõõtmist: mediaan { $median } ms, aeglaseim { $most } ms.
gates-refresh = Värskenda
