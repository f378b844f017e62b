# جلسات الواجهة البرمجية: مفاتيح البرامج.

api-title = جلسات الواجهة البرمجية
api-lead = مفاتيح البرامج في { $tenant }. المفتاح ليس تسجيل دخول: تسجيل خروج مالكه لا يُنهيه، وتعطيل المالك يُنهيه.
api-caption = مفاتيح الواجهة البرمجية، الأحدث أولًا
api-none = لا يوجد مفتاح.
api-none-ended = لا يوجد مفتاح نشط. يمكن عرض المنتهية أيضًا.
api-read-only = يمكنك رؤية المفاتيح دون تغييرها. يمكن للمسؤول إنشاؤها وإبطالها.
api-show-ended = عرض المنتهية أيضًا
api-owner-filter = المالك (معرّف المستخدم)
api-filter = عرض
api-filter-clear = عرض كل المالكين
api-new = إنشاء مفتاح…
api-column-key = المفتاح
api-column-owner = المالك
api-column-last-used = آخر استخدام
api-column-requests = الطلبات في ٢٤ ساعة
api-column-state = الحالة
api-column-created = أُنشئ
api-column-expires = ينتهي
api-column-scopes = النطاقات
api-never-used = أبدًا
api-never-expires = أبدًا
api-state-1 = نشط
api-state-2 = منتهي المدة
api-state-3 = مُبطَل
api-state-0 = غير معروف
api-scopes-none = لا شيء
api-ended = انتهى { $time }
api-page-first = الصفحة الأولى
api-page-next = الصفحة التالية
api-pages = الصفحات
api-page-gone = لم تعد هذه الصفحة من القائمة متاحة. هذه هي الصفحة الأولى.
api-sparkline =
    { $total ->
        [0] لا طلبات في آخر ٢٤ ساعة.
        [one] طلب واحد في آخر ٢٤ ساعة.
        [two] طلبان في آخر ٢٤ ساعة.
        [few] { $total } طلبات في آخر ٢٤ ساعة، والأكثر في ساعة واحدة: { $most }.
       *[other] { $total } طلبًا في آخر ٢٤ ساعة، والأكثر في ساعة واحدة: { $most }.
    }

api-key-title = المفتاح { $name }
api-key-id = معرّف المفتاح
api-hours = الطلبات حسب الساعة
api-hours-caption = الطلبات في كل ساعة من آخر ٢٤ ساعة، الأقدم أولًا
api-hours-none = لا طلبات في آخر ٢٤ ساعة.
api-hours-hour = الساعة
api-hours-requests = الطلبات
api-revoke = إبطال هذا المفتاح…
api-back = الرجوع إلى القائمة

api-new-title = إنشاء مفتاح للواجهة البرمجية
api-new-owner = المالك (معرّف المستخدم)
api-new-owner-hint = من ١ إلى ١٢٨ بايت. تعطيل هذا المستخدم يُنهي المفتاح.
api-new-name = الاسم
api-new-name-hint = للناس: ما الذي يستخدم المفتاح. من ١ إلى ١٢٨ بايت.
api-new-scopes = النطاقات
api-new-scopes-hint = تفصل بينها مسافات أو أسطر، ٦٤ على الأكثر. فارغ: لا شيء.
api-new-audiences = الجهات المقصودة
api-new-audiences-hint = تفصل بينها مسافات أو أسطر، ١٦ على الأكثر. فارغ: كما في التثبيت.
api-new-expires = ينتهي بعد
api-expires-30 = ٣٠ يومًا
api-expires-90 = ٩٠ يومًا
api-expires-365 = سنة واحدة
api-expires-never = أبدًا (لا يُنصح به)
api-new-reason = السبب
api-new-reason-hint = لسجل التدقيق. ١٬٠٢٤ بايت على الأكثر. يمكن تركه فارغًا.
api-new-create = إنشاء المفتاح
api-cancel = إلغاء
api-created-title = أُنشئ المفتاح
api-created-once = انسخ السر الآن. يظهر هذه المرة فقط: لا يمكن لأحد إظهاره ثانية، ولا يُخزَّن في أي مكان.
api-created-secret = سر { $name }
api-created-use = ترسله البرامج بالشكل «Authorization: Bearer …». لا تضعه في العناوين أو السجلات أو الشيفرة المصدرية.
api-created-done = لقد نسخته
api-again-title = أُرسل هذا النموذج من قبل
api-again = ظهر حينها المفتاح الذي أنشأه، ويظهر سره مرة واحدة. لم يحدث شيء الآن. إن لم يُنسخ السر فأبطل ذلك المفتاح وأنشئ غيره.
api-again-list = عرض المفاتيح

api-revoke-title = هل يُبطَل المفتاح { $name }؟
api-revoke-what = كل برنامج يستخدمه يُرفض فورًا عند كل بوابة. لا يمكن التراجع عن هذا.
api-revoke-reason = السبب
api-revoke-confirm = إبطال المفتاح
api-revoked = أُبطل المفتاح.
api-revoked-before = كان المفتاح قد انتهى من قبل. لم يتغير شيء.

api-wrong = صحِّح هذه الحقول. لم يُنشأ شيء.
api-wrong-revoke = صحِّح هذا الحقل. لم يُبطَل شيء.
api-wrong-owner = المالك: أدخل معرّف مستخدم من ١ إلى ١٢٨ بايت، بلا محارف تحكم.
api-wrong-name = الاسم: أدخل من ١ إلى ١٢٨ بايت، بلا محارف تحكم.
api-wrong-scopes = النطاقات: ٦٤ على الأكثر، كل منها ١٢٨ محرف ASCII مرئيًا على الأكثر، بلا علامات اقتباس ولا شرطات مائلة عكسية.
api-wrong-audiences = الجهات المقصودة: ١٦ على الأكثر، كل منها ٢٥٦ بايت على الأكثر.
api-wrong-expires = اختر متى ينتهي المفتاح.
api-wrong-reason = السبب: ١٬٠٢٤ بايت على الأكثر، بلا محارف تحكم.
api-wrong-disabled = المالك معطَّل. فعِّله أولًا أو اختر مالكًا آخر.
api-wrong-quota = لدى الفريق أقصى عدد مسموح من المفاتيح. أبطل أحدها أولًا.
api-wrong-other = رفضت السلطة قيمة ({ $field }).
