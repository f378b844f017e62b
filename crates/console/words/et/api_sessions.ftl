# API seansid: programmide võtmed.

api-title = API seansid
api-lead = Programmide võtmed: { $tenant }. Võti ei ole sisselogimine: omaniku väljalogimine seda ei lõpeta, omaniku keelamine lõpetab.
api-caption = API võtmed, uusimad ees
api-none = API võtmeid ei ole.
api-none-ended = Ükski võti pole aktiivne. Näidata saab ka lõppenud võtmeid.
api-read-only = Te näete võtmeid, kuid ei saa neid muuta. Administraator saab neid luua ja tühistada.
api-show-ended = Näita ka lõppenuid
api-owner-filter = Omanik (kasutaja id)
api-filter = Näita
api-filter-clear = Näita kõiki omanikke
api-new = Loo võti…
api-column-key = Võti
api-column-owner = Omanik
api-column-last-used = Viimati kasutatud
api-column-requests = Päringuid 24 tunnis
api-column-state = Olek
api-column-created = Loodud
api-column-expires = Aegub
api-column-scopes = Ulatused
api-never-used = Mitte kunagi
api-never-expires = Mitte kunagi
api-state-1 = Aktiivne
api-state-2 = Aegunud
api-state-3 = Tühistatud
api-state-0 = Teadmata
api-scopes-none = Puuduvad
api-ended = Lõppes { $time }
api-page-first = Esimene leht
api-page-next = Järgmine leht
api-pages = Lehed
api-page-gone = See loendi leht pole enam saadaval. See on esimene leht.
api-sparkline =
    { $total ->
        [0] Viimase 24 tunni jooksul ühtegi päringut.
        [one] Üks päring viimase 24 tunni jooksul.
       *[other] { $total } päringut viimase 24 tunni jooksul, kõige rohkem ühes tunnis: { $most }.
    }

api-key-title = API võti { $name }
api-key-id = Võtme id
api-hours = Päringud tundide kaupa
api-hours-caption = Päringud viimase 24 tunni igas tunnis, vanim ees
api-hours-none = Viimase 24 tunni jooksul ühtegi päringut.
api-hours-hour = Tund
api-hours-requests = Päringuid
api-revoke = Tühista see võti…
api-back = Tagasi loendisse

api-new-title = Loo API võti
api-new-owner = Omanik (kasutaja id)
api-new-owner-hint = 1 kuni 128 baiti. Selle kasutaja keelamine lõpetab võtme.
api-new-name = Nimi
api-new-name-hint = Inimestele: mis seda võtit kasutab. 1 kuni 128 baiti.
api-new-scopes = Ulatused
api-new-scopes-hint = Eraldatud tühikute või ridadega, kõige rohkem 64. Tühi: puuduvad.
api-new-audiences = Sihtrühmad
api-new-audiences-hint = Eraldatud tühikute või ridadega, kõige rohkem 16. Tühi: nagu paigalduses.
api-new-expires = Aegub pärast
api-expires-30 = 30 päeva
api-expires-90 = 90 päeva
api-expires-365 = 1 aastat
api-expires-never = Mitte kunagi (ei soovitata)
api-new-reason = Põhjus
api-new-reason-hint = Auditilogi jaoks. Kõige rohkem 1024 baiti. Võib jääda tühjaks.
api-new-create = Loo võti
api-cancel = Loobu
api-created-title = Võti on loodud
api-created-once = Kopeerige saladus kohe. Seda näidatakse ainult see kord: keegi ei saa seda uuesti näidata ja seda ei hoita kuskil.
api-created-secret = Saladus: { $name }
api-created-use = Programmid saadavad selle kujul „Authorization: Bearer …“. Ärge pange seda aadressidesse, logidesse ega lähtekoodi.
api-created-done = Olen selle kopeerinud
api-again-title = See vorm on juba saadetud
api-again = Sellega loodud võtit näidati siis, ja saladust näidatakse üks kord. Praegu ei tehtud midagi. Kui saladust ei kopeeritud, tühistage see võti ja looge uus.
api-again-list = Vaata võtmeid

api-revoke-title = Kas tühistada võti { $name }?
api-revoke-what = Iga programm, mis seda kasutab, lükatakse kohe igas väravas tagasi. Seda ei saa tagasi võtta.
api-revoke-reason = Põhjus
api-revoke-confirm = Tühista võti
api-revoked = Võti on tühistatud.
api-revoked-before = Võti oli juba lõppenud. Midagi ei muudetud.

api-wrong = Parandage need väljad. Midagi ei loodud.
api-wrong-revoke = Parandage see väli. Midagi ei tühistatud.
api-wrong-owner = Omanik: sisestage kasutaja id, 1 kuni 128 baiti, ilma juhtmärkideta.
api-wrong-name = Nimi: sisestage 1 kuni 128 baiti, ilma juhtmärkideta.
api-wrong-scopes = Ulatused: kõige rohkem 64, igaüks kuni 128 nähtavat ASCII märki, ilma jutumärkide ja langjoonteta.
api-wrong-audiences = Sihtrühmad: kõige rohkem 16, igaüks kuni 256 baiti.
api-wrong-expires = Valige, millal võti aegub.
api-wrong-reason = Põhjus: kõige rohkem 1024 baiti, ilma juhtmärkideta.
api-wrong-disabled = Omanik on keelatud. Lubage ta enne või valige teine omanik.
api-wrong-quota = Meeskonnal on nii palju võtmeid, kui tohib olla. Tühistage enne mõni.
api-wrong-other = Autoriteet lükkas väärtuse tagasi ({ $field }).
